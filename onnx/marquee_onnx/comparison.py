"""Models beside each other on the same judged users, each with its difference to the first, paired by user.

Ranks are what is kept of a judgement, in `ranks.safetensors` of a run folder: every figure follows from them,
and two runs can be compared long after they were trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from marquee_onnx import bundle, metrics
from marquee_onnx.baselines import MOST_ITEMS
from marquee_onnx.errors import DataError
from marquee_onnx.judged import Judged, open_for
from marquee_onnx.judging import Figure, error_of_mean, parts_by_gap, ranks_of
from marquee_onnx.markdown import cell, paired
from marquee_onnx.metrics import PerUser, Ranks
from marquee_onnx.recommenders import BASELINES

FILE = "ranks.safetensors"
COLUMNS = {"ndcg@10": "nDCG@10", "recall@10": "R@10"}
GAPS = "seconds since the event before"


@dataclass(frozen=True)
class Comparison:
    """The ranks, from 0, of the same judged targets [users], by what ranked them; the first in question.

    `users` is a digest of who was judged, and `gaps` [users] the seconds since the event before each target,
    None where the data has no times.
    """

    ranks: Mapping[str, Ranks]
    users: str
    gaps: NDArray[np.int64] | None = None

    def gains(self) -> dict[str, PerUser]:
        """Every user's nDCG@10, by what ranked the targets."""
        return {name: metrics.gains(ranks, 10) for name, ranks in self.ranks.items()}

    def write(self, folder: Path) -> None:
        """Write the ranks into a run folder."""
        named = {f"{place} {name}": ranks for place, (name, ranks) in enumerate(self.ranks.items())}
        gaps = {} if self.gaps is None else {GAPS: self.gaps}
        save_file({**named, **gaps}, folder / FILE, {"users": self.users})
        (folder / FILE).chmod(0o644)


def read(folder: Path) -> Comparison | None:
    """What `write` left in a run folder, or None where nobody was judged."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            users = (file.metadata() or {}).get("users", "")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}; train or judge the run again") from error
    gaps = arrays.pop(GAPS, None)
    places = sorted(arrays, key=lambda name: int(name.partition(" ")[0]))
    return Comparison({name.partition(" ")[2]: arrays[name] for name in places}, users, gaps)


def digest_of(judged: Judged) -> str:
    """A digest of who is judged by what, the same whatever numbers the movies have."""
    inputs, targets = judged.inputs.items.astype(np.int64), judged.targets.astype(np.int64)
    if judged.vocabulary is not None:
        ids = np.concatenate([[0], judged.vocabulary.astype(np.int64)])
        inputs, targets = ids[inputs], ids[targets]
    digest = hashlib.sha256()
    for part in (judged.inputs.offsets, inputs, targets):
        digest.update(np.ascontiguousarray(part, "<i8").tobytes())
    return digest.hexdigest()


def beside(first: str, ranks: Ranks, judged: Judged, others: Iterable[tuple[str, Ranks]]) -> Comparison:
    """The ranks of one model beside those of others."""
    gaps = None if judged.moments is None else judged.moments.gaps
    return Comparison({first: ranks, **dict(others)}, digest_of(judged), gaps)


def ranks_by(name: str, judged: Judged, precision: str = "fp32") -> tuple[str, Ranks]:
    """What a baseline, or the model of a bundle or a run folder, is called, and the ranks that it gives.

    A model ranks the movies that it knows; a target that it does not know comes last.
    """
    recommender, known = open_for(name, judged, precision)
    return called(name), ranks_of(recommender, known.inputs, known.targets)


def called(name: str) -> str:
    """A baseline's name, a bundle's name and version, or a run folder's name."""
    folder = Path(name)
    if name in BASELINES or not (folder / bundle.MANIFEST).exists():
        return name if name in BASELINES else folder.resolve().name
    manifest = bundle.read_manifest(folder)
    return f"{manifest['name']}@{manifest['version']}"


def baselines_for(items: int) -> list[str]:
    """The baselines that are bearable for so many items."""
    return [name for name in BASELINES if items <= MOST_ITEMS or name == "popularity"]


def lines_of(comparison: Comparison) -> list[str]:
    """The table of `rows_of` in columns."""
    heads, rows = rows_of(comparison)
    width = max(24, *(len(name) + 1 for name, *_ in rows))
    lines = ([head, *cells] for head, *cells in (heads, *rows))
    return [f"{head:<{width}}" + "".join(f"{cell:>22}" for cell in cells).rstrip() for head, *cells in lines]


def rows_of(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads, and a line a model: nDCG@10, R@10, nDCG@10 by the gap to the event before, the difference."""
    gains = comparison.gains()
    first, *_ = gains
    found = {name: figures(ranks, comparison.gaps) for name, ranks in comparison.ranks.items()}
    heads = ["", *(heading(column, figure) for column, figure in found[first].items()), "difference"]
    rows = [
        [name, *map(cell, parts.values()), "" if name == first else paired(gains[name], gains[first])]
        for name, parts in found.items()
    ]
    return heads, rows


def values_of(ranks: Ranks, figure: str) -> PerUser:
    """Each user's figure of a name in `COLUMNS`."""
    return metrics.per_user(ranks)[figure]


def figures(ranks: Ranks, gaps: NDArray[np.int64] | None) -> dict[str, Figure]:
    """nDCG@10 and R@10, and nDCG@10 by the gap to the event before where it is known."""
    values = metrics.per_user(ranks)
    found = {name: Figure(float(values[name].mean()), values[name]) for name in COLUMNS}
    return found if gaps is None else found | parts_by_gap(values["ndcg@10"], gaps)


def heading(column: str, figure: Figure) -> str:
    """The head of a column; those of gaps say how many users they are of."""
    return COLUMNS.get(column, f"{column} ({figure.users})")


def as_object(comparison: Comparison) -> dict[str, Any]:
    """The same for a program."""
    gains = comparison.gains()
    first, *_ = gains
    report: dict[str, Any] = {}
    for name, ranks in comparison.ranks.items():
        parts = figures(ranks, comparison.gaps)
        away = gains[name] - gains[first]
        report[name] = {
            **{column: {"value": part.value, "error": part.error} for column, part in parts.items()},
            "difference": {"value": float(away.mean()), "error": error_of_mean(away)},
        }
    return report
