"""Sweep objectives over one pass of a model, and find what each share of its accuracy buys.

MODEL and the judged users are those of `evaluate`. Every combination of the values given with `--vary` is
judged; `--folder` gets `front.md`, `front.json` and `front.svg` with those that no other beats in nDCG@10 and
in every goal at once, and the preset: of the combinations that keep the share `--keep` of the plain nDCG@10
the one that gains most on average over the goals, each gain as a share of the largest that was seen.
"""

from __future__ import annotations

import argparse
import itertools
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marquee_onnx.arguments import fraction
from marquee_onnx.errors import UsageError
from marquee_onnx.evaluate import stated
from marquee_onnx.judged import add_judged_arguments, open_judged
from marquee_onnx.judging import LIST_LENGTH, Figure, Gathered, gather, kept
from marquee_onnx.objectives import Objectives, add_objective_arguments
from marquee_onnx.text import to_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ACCURACY = "ndcg@10"
GOALS = ("genre_diversity@10", "calibration_kl@10")
LOWER_IS_BETTER = frozenset({"calibration_kl@10"})
POSSIBLE_GOALS = (
    *("genre_diversity@10", "vector_diversity@10", "calibration_kl@10", "novelty@10", "long_tail@10"),
    *("coverage@10", "freshness@10"),
)
DEFAULT_GRID: Mapping[str, tuple[float, ...]] = {
    "diversity": (0.0, 0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0),
    "calibration": (0.0, 0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0),
}
COLUMNS = {
    ACCURACY: "nDCG@10",
    "recall@10": "R@10",
    "vector_diversity@10": "vector ILD",
    "genre_diversity@10": "genre ILD",
    "calibration_kl@10": "calibration KL",
    "novelty@10": "novelty, bits",
    "coverage@10": "coverage",
    "freshness@10": "freshness",
    "long_tail@10": "long tail",
}


@dataclass(frozen=True)
class Point:
    """One combination of objectives, its figures and the share of the plain nDCG@10 that it keeps."""

    objectives: Objectives
    figures: Mapping[str, Figure]
    kept: float
    kept_error: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tune`."""
    add_judged_arguments(parser)
    add_objective_arguments(parser)
    grid = "; ".join(f"{name}={','.join(f'{v:g}' for v in values)}" for name, values in DEFAULT_GRID.items())
    parser.add_argument(
        "--vary",
        type=varied,
        action="append",
        metavar="NAME=V,V,...",
        help=f"an objective and its values; again for more; by default {grid}",
    )
    parser.add_argument(
        "--goal",
        choices=POSSIBLE_GOALS,
        action="append",
        help=f"again for more; by default {', '.join(GOALS)}",
    )
    parser.add_argument("--keep", type=fraction, default=0.99, help="share of nDCG@10 that the preset keeps")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where front.md, .json and .svg are written"
    )


def varied(text: str) -> tuple[str, tuple[float, ...]]:
    """An objective and the values that it takes in turn, each as its own option takes it."""
    name, separator, values = text.partition("=")
    name = name.replace("-", "_")
    if not separator or name not in {field.name for field in fields(Objectives)}:
        raise ArgumentTypeError(f"{text!r} is not of the form diversity=0,0.5,1")
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_objective_arguments(parser)
    option = f"--{name.replace('_', '-')}"
    try:
        read = [getattr(parser.parse_args([f"{option}={value}"]), name) for value in values.split(",")]
    except argparse.ArgumentError as error:
        raise ArgumentTypeError(error.message) from error
    return name, tuple(read)


def run(args: argparse.Namespace) -> int:
    """Sweep, write the front and print it."""
    grid = dict(args.vary or DEFAULT_GRID)
    goals = tuple(args.goal or GOALS)
    combinations = list(grid_of(Objectives.of(args), grid))
    recommender, judged = open_judged(args)
    everything = combined(combinations)
    count = max(each.candidates(LIST_LENGTH) for each in combinations)
    gathered = gather(recommender, judged, args, everything, count)
    plain, points = sweep(gathered, combinations)
    missing = [goal for goal in goals if goal not in plain]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} cannot be said of this data: give --items and --train, or --data"
        )
    best = front(points, goals)
    chosen = preset(points, plain, goals, args.keep)
    args.folder.mkdir(parents=True, exist_ok=True)
    text = page(plain, best, chosen, gathered, args.keep)
    (args.folder / "front.md").write_text(text)
    report = to_json(described(args, gathered, plain, points, best, chosen), indent=1)
    (args.folder / "front.json").write_text(report + "\n")
    draw(args.folder / "front.svg", points, best, chosen, plain, goals)
    print(text, end="")
    return 0


def grid_of(common: Objectives, grid: Mapping[str, Sequence[float]]) -> list[Objectives]:
    """Every combination of the grid's values, with the objectives that all share."""
    base = common.said()
    return [
        Objectives(**{**base, **dict(zip(grid, values, strict=True))})
        for values in itertools.product(*grid.values())
    ]


def combined(combinations: Sequence[Objectives]) -> Objectives:
    """Objectives that are on where any of these has them on: what the data must know of."""
    said: dict[str, Any] = {}
    for each in combinations:
        said |= each.said()
    return Objectives(**said)


def sweep(gathered: Gathered, combinations: Sequence[Objectives]) -> tuple[dict[str, Figure], list[Point]]:
    """The plain figures, and those of every combination."""
    plain = gathered.figures(gathered.lists(Objectives()))
    points = []
    for objectives in combinations:
        figures = gathered.figures(gathered.lists(objectives))
        points.append(Point(objectives, figures, *kept(figures[ACCURACY], plain[ACCURACY])))
    return plain, points


def worth(figures: Mapping[str, Figure], goal: str) -> float:
    """A goal's figure, negated where lower is better."""
    return -figures[goal].value if goal in LOWER_IS_BETTER else figures[goal].value


def front(points: Sequence[Point], goals: Sequence[str]) -> list[Point]:
    """The points that no other equals or beats in accuracy and all goals at once, most accurate first."""
    values = np.array([[worth(point.figures, name) for name in (ACCURACY, *goals)] for point in points])
    at_least = np.all(values[None] >= values[:, None], axis=2)
    above = np.any(values[None] > values[:, None], axis=2)
    beaten = np.any(at_least & above, axis=1).tolist()
    best = [point for point, lost in zip(points, beaten, strict=True) if not lost]
    return sorted(best, key=lambda point: -point.kept)


def preset(
    points: Sequence[Point], plain: Mapping[str, Figure], goals: Sequence[str], keep: float
) -> Point | None:
    """Of the points that keep this share of the accuracy the one that gains most over the goals; or None."""
    gains = [[worth(point.figures, goal) - worth(plain, goal) for goal in goals] for point in points]
    largest = np.max(gains, axis=0)
    shares = np.divide(gains, largest, out=np.zeros_like(gains), where=largest > 0).sum(1)
    allowed = [place for place, point in enumerate(points) if point.kept >= keep and shares[place] > 0]
    return points[max(allowed, key=lambda place: float(shares[place]))] if allowed else None


def page(
    plain: Mapping[str, Figure],
    best: Sequence[Point],
    chosen: Point | None,
    gathered: Gathered,
    keep: float,
) -> str:
    """The front as Markdown: a combination a line, standard errors beside the figures."""
    columns = {name: title for name, title in COLUMNS.items() if name in plain}
    gaps = list(gathered.by_gap(dict(plain)))
    heads = ["objectives", "kept, %", *columns.values(), *(f"nDCG@10, {gap}" for gap in gaps)]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]

    def line(name: str, share: str, figures: Mapping[str, Figure]) -> str:
        parts = gathered.by_gap(dict(figures))
        cells = [figures[column] for column in columns] + [parts[gap] for gap in gaps]
        return f"| {' | '.join([name, share, *(f'{c.value:.4f} +- {c.error:.4f}' for c in cells)])} |"

    lines.append(line("plain", "100", plain))
    for point in (point for point in best if point.objectives.on):
        share = f"{100 * point.kept:.1f} +- {100 * point.kept_error:.1f}"
        lines.append(line(named(point.objectives), share, point.figures))
    verdict = (
        f"no combination keeps {100 * keep:g}% of nDCG@10 and gains"
        if chosen is None
        else f"preset that keeps {100 * keep:g}% of nDCG@10: {named(chosen.objectives)}"
    )
    return "\n".join([*lines, "", verdict]) + "\n"


def named(objectives: Objectives) -> str:
    """The objectives in words."""
    return ", ".join(f"{name} {value:g}" for name, value in objectives.said().items()) or "none"


def described(
    args: argparse.Namespace,
    gathered: Gathered,
    plain: Mapping[str, Figure],
    points: Sequence[Point],
    best: Sequence[Point],
    chosen: Point | None,
) -> dict[str, Any]:
    """Everything that was judged, as JSON."""
    return {
        "model": args.model,
        "date": date.today().isoformat(),
        "users": len(gathered.ranks),
        "keep": args.keep,
        "preset": None if chosen is None else chosen.objectives.said(),
        "plain": stated(plain, gathered),
        "points": [
            {
                "objectives": point.objectives.said(),
                "beta": point.objectives.beta,
                "gamma": point.objectives.gamma,
                "kept": {"value": point.kept, "error": point.kept_error},
                "on_front": point in best,
                **stated(point.figures, gathered),
            }
            for point in points
        ],
    }


def draw(
    path: Path,
    points: Sequence[Point],
    best: Sequence[Point],
    chosen: Point | None,
    plain: Mapping[str, Figure],
    goals: Sequence[str],
) -> None:
    """Draw the points, the front and the preset as an SVG that is the same for the same figures."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "front"}):
        drawing(points, best, chosen, plain, goals).savefig(path, metadata={"Date": None})


def drawing(
    points: Sequence[Point],
    best: Sequence[Point],
    chosen: Point | None,
    plain: Mapping[str, Figure],
    goals: Sequence[str],
) -> Drawing:
    """A panel a goal: what is gained against the share of nDCG@10 that is kept."""
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(5 * len(goals), 4), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(goals), squeeze=False)[0]
    for panel, goal in zip(panels, goals, strict=True):
        for some, style, label in (
            (points, {"marker": ".", "color": "silver"}, "judged"),
            (best, {"marker": "o", "color": "tab:blue"}, "on the front"),
            ([chosen] if chosen else [], {"marker": "*", "color": "tab:red", "markersize": 12}, "preset"),
        ):
            panel.plot(
                [100 * p.kept for p in some],
                [p.figures[goal].value for p in some],
                linestyle="",
                label=label,
                **style,
            )
        panel.plot([100], [plain[goal].value], "kx", label="plain")
        panel.set(xlabel="nDCG@10 kept, %", ylabel=COLUMNS[goal])
        panel.legend()
    return figure
