"""The trainings so far: a list, a comparison, a page.

- `list [FOLDER]`: every run of a folder (`runs` unless named) with its figures;
- `compare RUN RUN ...`: what the runs were begun with differently, and their figures with the differences to
  the first, paired by user, with standard errors. Runs that differ in nothing but the seed count as one, each
  user's figures averaged over the seeds: the standard error is that over users;
- `show RUN ...`: a page with figures, settings and the curves of all, side by side, in one file of HTML.

A run is named by its folder, or by its name where it stands in `runs`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marquee_onnx import past_runs
from marquee_onnx.comparison import COLUMNS
from marquee_onnx.judging import GAPS, Figure, parts_by_gap
from marquee_onnx.markdown import cell, mean, paired, table
from marquee_onnx.metrics import PerUser
from marquee_onnx.past_runs import Group, PastRun
from marquee_onnx.progress import duration
from marquee_onnx.text import to_json

LISTED = ("run", "day", "data", "split", "d", "L", "seed", "epochs", "time", "judged", "nDCG@10", "R@10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `list`, `compare` and `show`."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|compare|show")
    listing = commands.add_parser("list", help="every run of a folder, with its figures")
    listing.add_argument("folder", type=Path, nargs="?", default=past_runs.USUAL, help="runs unless named")
    comparing = commands.add_parser("compare", help="runs beside each other, paired by user")
    comparing.add_argument("runs", nargs="+", metavar="RUN")
    showing = commands.add_parser("show", help="one file of HTML with figures and curves")
    showing.add_argument("runs", nargs="+", metavar="RUN")
    showing.add_argument("--output", type=Path, default=Path("runs.html"), help="the file; runs.html")
    for command in (listing, comparing):
        command.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """List, compare or show."""
    if args.command == "list":
        found = list(past_runs.find(args.folder))
        print(to_json([summary(past) for past in found]) if args.json else listed(found, args.folder))
        return 0
    past = [past_runs.read(past_runs.named(name)) for name in args.runs]
    if args.command == "compare":
        groups = past_runs.grouped(past)
        print(to_json(compared(groups)) if args.json else as_text(past, groups))
        return 0
    from marquee_onnx import run_page

    args.output.write_text(run_page.page(past), encoding="utf-8")
    print(f"wrote {args.output}")
    return 0


def summary(past: PastRun) -> dict[str, Any]:
    """A run of the list, for a program."""
    return {
        "run": str(past.folder),
        "day": past.latest,
        "data": past.training.get("data"),
        "settings": dict(past.settings),
        "epochs": int(past.log[-1]["epoch"]) if past.log else 0,
        "ended": past.ended,
        "seconds": round(past.seconds, 1),
        "judged_users": past.training.get("judged_users"),
        "figures": {name: past.best_of_log().get(name) for name in COLUMNS},
    }


def listed(found: Sequence[PastRun], folder: Path) -> str:
    """The list for a person."""
    if not found:
        return f"no runs in {folder}; train with --output {folder}/NAME"
    return table(LISTED, [row(past, folder) for past in found])


def row(past: PastRun, folder: Path) -> list[str]:
    """A run's line of the list."""
    settings, figures = past.settings, past.best_of_log()
    return [
        str(past.folder.relative_to(folder)) if past.folder != folder else past.name,
        past.latest,
        str(past.training.get("data", "")),
        *(str(settings.get(name, "")) for name in ("split", "dimension", "maximum_length", "seed")),
        past.progress,
        duration(past.seconds),
        str(past.training.get("judged_users", "")),
        *(f"{figures[name]:.4f}" if name in figures else "" for name in COLUMNS),
    ]


def as_text(past: Sequence[PastRun], groups: Sequence[Group]) -> str:
    """The comparison for a person: what differs, then the figures."""
    differing = past_runs.differing(past)
    settings = [[name, *values] for name, values in differing.items()]
    parts = [table(["begun with", *(each.name for each in past)], settings)] if settings else []
    return "\n\n".join([*parts, table(*figures_table(groups))])


def figures_table(groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Heads and a line a group: figures, nDCG@10 by the gap to the event before, differences to the first."""
    base = values_of(groups[0])
    heads = ["run", "seeds", *base, *(f"{name}, difference" for name in COLUMNS.values())]
    rows = []
    for group in groups:
        values = values_of(group)
        away = ["" if group is groups[0] else paired(values[n], base[n]) for n in COLUMNS.values()]
        rows.append([group.name, str(len(group.runs)), *(cell(mean(v)) for v in values.values()), *away])
    return heads, rows


def values_of(group: Group) -> dict[str, PerUser]:
    """Every column's value of each user, NaN of users of whom it says nothing."""
    values = {title: group.values(name) for name, title in COLUMNS.items()}
    gaps = past_runs.own(group.runs[0]).gaps
    if gaps is None:
        return values
    parts = parts_by_gap(values["nDCG@10"], gaps)
    return values | {f"nDCG@10, {name}": parts[name].shares for name in GAPS if name in parts}


def compared(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The comparison for a program."""
    base = values_of(groups[0])
    report = []
    for group in groups:
        values = values_of(group)
        report.append(
            {
                "runs": [str(past.folder) for past in group.runs],
                "figures": {name: said(mean(value)) for name, value in values.items()},
                "differences": {name: said(mean(value - base[name])) for name, value in values.items()},
            }
        )
    return report


def said(figure: Figure) -> dict[str, float]:
    """A figure with its standard error."""
    return {"value": figure.value, "error": figure.error}
