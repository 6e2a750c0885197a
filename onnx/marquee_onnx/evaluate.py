"""Judge a model on held-back items: unsampled, over the whole catalogue, seen items removed.

MODEL is a run folder, a checkpoint with its config.json, a bundle (through ONNX Runtime), `popularity`,
`co-occurrence` or `item-knn`. The judged users come from `--input` (a sequence of item numbers a line, oldest
first) and `--output` (the item that came next), plain or gzipped, or from `--data`. A figure that the data or
the lists do not allow, such as the diversity of lists of one item, is left out. Other models and baselines
that `--beside` names are judged on the same users.

With an objective, the lists that are chosen for it stand beside the plain ones of the same pass, with the
difference paired by user.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marquee_onnx import comparison, metrics
from marquee_onnx.arguments import positive
from marquee_onnx.judged import add_judged_arguments, open_model, read_judged
from marquee_onnx.judging import LIST_LENGTH, Figure, Gathered, difference, gather, kept
from marquee_onnx.objectives import Objectives, add_objective_arguments
from marquee_onnx.text import to_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evaluate`."""
    add_judged_arguments(parser)
    parser.add_argument(
        "--ranks", type=Path, help="write each user's rank of the target, from 0, to this file"
    )
    parser.add_argument(
        "--resamples", type=positive, default=1000, help="bootstrap resamples of the intervals"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="MODEL",
        help="judge this model or baseline on the same users too, with the paired difference; again for more",
    )
    add_objective_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge and print."""
    begin = time.perf_counter()
    everybody = read_judged(args)
    recommender, judged = open_model(args, everybody)
    objectives = Objectives.of(args)
    count = objectives.candidates(LIST_LENGTH) if objectives.on else LIST_LENGTH
    gathered = gather(recommender, judged, args, objectives, count)
    if args.ranks:
        args.ranks.write_text("".join(f"{value}\n" for value in gathered.ranks))
    report = judge(gathered, objectives, args)
    if args.beside:
        others = (comparison.ranks_by(name, everybody, args.precision) for name in args.beside)
        first = comparison.called(args.model)
        beside = comparison.beside(first, gathered.ranks, everybody, others)
        report["beside"] = comparison.as_object(beside)
    report["seconds"] = round(time.perf_counter() - begin, 1)
    print(to_json(report) if args.json else table(report))
    if args.beside and not args.json:
        print("", *comparison.lines_of(beside), sep="\n")
    return 0


def judge(gathered: Gathered, objectives: Objectives, args: argparse.Namespace) -> dict[str, Any]:
    """Every figure that the given files allow, of the plain lists and of those with objectives."""
    plain = gathered.plain_figures()
    report = {"model": args.model, "users": len(gathered.ranks), **stated(plain, gathered)}
    accuracy = metrics.per_user(gathered.ranks)
    report["intervals"] = {n: metrics.bootstrap(value, args.resamples) for n, value in accuracy.items()}
    if objectives.on:
        figures = gathered.figures(gathered.lists(objectives))
        share, error = kept(figures["ndcg@10"], plain["ndcg@10"])
        report["with_objectives"] = {
            "objectives": objectives.said(),
            "beta": objectives.beta,
            "gamma": objectives.gamma,
            **stated(figures, gathered),
            "kept": {"value": share, "error": error},
            "differences": {
                n: difference(value, plain[n])._asdict() for n, value in figures.items() if n in plain
            },
        }
    return report


def stated(figures: Mapping[str, Figure], gathered: Gathered) -> dict[str, Any]:
    """Figures as a report states them."""
    report: dict[str, Any] = {name: figure.value for name, figure in figures.items()}
    report["standard_errors"] = {name: figure.error for name, figure in figures.items()}
    gaps = gathered.by_gap(dict(figures))
    if gaps:
        report["ndcg@10_by_gap"] = {
            name: {"users": figure.users, "value": figure.value, "error": figure.error}
            for name, figure in gaps.items()
        }
    return report


def table(report: Mapping[str, Any]) -> str:
    """The report for a person: a figure a line, with its standard error and its interval."""
    lines = [f"{report['model']}, {report['users']} users, {report['seconds']} s"]
    other = report.get("with_objectives")
    if other:
        said = ", ".join(f"{name} {value:g}" for name, value in other["objectives"].items())
        lines.append(
            f"with {said}: {100 * other['kept']['value']:.1f}% of nDCG@10 kept "
            f"(+- {100 * other['kept']['error']:.1f})"
        )
        lines.append(f"{'':<22}{'plain':>18}{'with objectives':>20}   difference, 95%")
    for name, error in report["standard_errors"].items():
        line = f"{name:<22}{report[name]:>9.4f}{plus_minus(error)}"
        if other and name in other["differences"]:
            gap = other["differences"][name]
            line += f"{other[name]:>11.4f}{plus_minus(other['standard_errors'][name])}"
            line += f"   {gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
        elif not other and name in report["intervals"]:
            low, high = report["intervals"][name]
            line += f"   95% [{low:.4f}, {high:.4f}]"
        lines.append(line)
    return "\n".join([*lines, *gap_lines(report, other)])


def plus_minus(error: float) -> str:
    """A standard error in nine places."""
    return f" +-{error:.4f}" if error == error else " " * 9


def gap_lines(report: Mapping[str, Any], other: Mapping[str, Any] | None) -> list[str]:
    """nDCG@10 by the time since the event before, in columns."""
    gaps = report.get("ndcg@10_by_gap")
    if not gaps:
        return []
    names = [f"{name} ({part['users']})" for name, part in gaps.items()]
    lines = ["", f"{'nDCG@10 by gap (users)':<22}" + "".join(f"{name:>20}" for name in names)]
    for title, figures in (("plain", report), ("with objectives", other)):
        if figures:
            parts = figures["ndcg@10_by_gap"].values()
            lines.append(
                f"{title:<22}" + "".join(f"{p['value']:>11.4f}{plus_minus(p['error'])}" for p in parts)
            )
    return lines
