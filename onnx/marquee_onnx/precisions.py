"""Whether the CPU encoder may serve in fewer bits: what its lists lose against fp32's, on the same users.

Rounding moves a few items by a place, for better or worse, and of hundreds of users a single one whose item
moves decides the last per mille of nDCG@10. So a small loss is bounded by what can be told from chance, and
by how much of fp32's lists is found at all, which a few hundred users say well enough.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import metrics
from marquee_onnx.data import Ids
from marquee_onnx.judged import Judged, read_judged
from marquee_onnx.judging import error_of_mean, score_batches
from marquee_onnx.recommenders import BundleModel, Recommender

METRIC, OVERLAP = "ndcg@10", "top-10 overlap"
OF_FP32, ERROR = f"{METRIC} of fp32", "standard error of the difference"
FIGURES = (METRIC, OF_FP32, ERROR, OVERLAP)


@dataclass(frozen=True)
class Limit:
    """What a precision may lose: a share of fp32's nDCG@10, and so many standard errors more.

    At least `overlap` of fp32's ten best items are found.
    """

    loss: float
    standard_errors: float = 0.0
    overlap: float = 0.0

    def allows(self, measured: Mapping[str, Any]) -> bool:
        """Whether what `compare` measured stays within."""
        fp32, error = measured[OF_FP32], np.nan_to_num(measured[ERROR])
        least = fp32 * (1 - self.loss) - self.standard_errors * error
        return bool(fp32 > 0 and measured[METRIC] >= least and measured[OVERLAP] >= self.overlap)


LIMITS = {"int8": Limit(0.005), "bf16": Limit(0.002, standard_errors=2, overlap=0.985)}


@dataclass(frozen=True)
class Lists:
    """A user's gain and the ten best unseen items, for every judged user."""

    gains: metrics.PerUser
    best: Ids


def add_users_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whom a precision is judged by."""
    parser.add_argument(
        "--validate",
        type=Path,
        nargs=2,
        metavar=("INPUT", "OUTPUT"),
        help="users to judge precisions below fp32 by",
    )
    parser.add_argument("--items", type=Path, help="items.tsv that numbers the items of those files")
    parser.add_argument("--data", type=Path, help="judge by the split of this folder instead")


def users_of(args: argparse.Namespace, vocabulary: NDArray[np.uint32]) -> Judged:
    """The users of the command line, in the item numbers of a vocabulary."""
    files = dict(zip(("input", "output"), args.validate or (None, None), strict=True))
    judged = read_judged(argparse.Namespace(**{**vars(args), "train": None, **files}))
    return judged if judged.vocabulary is None else judged.renumbered(vocabulary)


def compare(folder: Path, judged: Judged, *below: str) -> dict[str, Mapping[str, Any]]:
    """What a bundle's CPU encoder loses in each precision below fp32, and whether it may serve so.

    Beside nDCG@10 of both stand the standard error of their difference, paired by user, and the share of
    fp32's ten best items that are found too.
    """
    exact = lists(BundleModel(folder, "fp32"), judged)
    return {
        precision: figures(precision, lists(BundleModel(folder, precision), judged), exact)
        for precision in below
    }


def figures(precision: str, rounded: Lists, exact: Lists) -> Mapping[str, Any]:
    """What a bundle says of one precision."""
    shared = [np.isin(a, b).mean() for a, b in zip(exact.best, rounded.best, strict=True)]
    measured = {
        METRIC: float(rounded.gains.mean()),
        OF_FP32: float(exact.gains.mean()),
        ERROR: error_of_mean(rounded.gains - exact.gains),
        OVERLAP: float(np.mean(shared)),
        "users": len(exact.gains),
    }
    return {**measured, "kept": LIMITS[precision].allows(measured)}


def lists(recommender: Recommender, judged: Judged) -> Lists:
    """What a recommender answers the judged users; an item that the model does not know is never found."""
    rank = np.empty(len(judged.targets), np.int64)
    best = np.empty((len(rank), min(10, recommender.items)), np.int32)
    for users, histories, scores in score_batches(recommender, judged.inputs):
        targets = judged.targets[users]
        rank[users] = metrics.ranks(scores, histories, np.maximum(targets, 1))
        rank[users[targets == 0]] = recommender.items
        best[users] = metrics.top_items(scores, histories, 10)
    return Lists(metrics.gains(rank, 10), best)


def describe(precision: str, measured: Mapping[str, Any]) -> str:
    """A line for the person who asked."""
    return f"{precision} {'kept' if measured['kept'] else 'left out'}: {measured}"
