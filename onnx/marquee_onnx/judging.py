"""One pass of a model over the judged users, and every figure of the lists that can be chosen from it.

The pass keeps each user's best candidates, so that lists for other objectives are chosen without the model.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import metrics
from marquee_onnx.data import Histories, Ids
from marquee_onnx.item_data import check_known, describe_items
from marquee_onnx.judged import Judged
from marquee_onnx.metrics import PerUser
from marquee_onnx.objectives import Objectives
from marquee_onnx.recommenders import Recommender
from marquee_onnx.rerank import Candidates, Floats, Items, choose, divergence, history_shares, own_parts

LIST_LENGTH = 10
BATCH = 64
OF_A_LIST = ("ndcg@10", "recall@1", "recall@10")
GAPS = {"same second": (0, 0), "same minute": (1, 60), "longer": (61, np.iinfo(np.int64).max)}  # seconds


class Figure(NamedTuple):
    """A figure, and each user's share in it: NaN where it says nothing of a user.

    The figure is the mean of the shares or, like coverage, has the standard error of their mean.
    """

    value: float
    shares: PerUser

    @property
    def error(self) -> float:
        """The standard error."""
        return error_of_mean(self.shares)

    @property
    def users(self) -> int:
        """The users of whom it says something."""
        return int((~np.isnan(self.shares)).sum())


class Difference(NamedTuple):
    """A paired difference of two figures with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gathered:
    """What the pass leaves of every judged user.

    `ranks` are the targets' among all items; `candidates` [users, C], `wanted` the history's genres as shares
    [users, G], and `years` when each user is answered.
    """

    judged: Judged
    items: Items
    known: frozenset[str]
    ranks: metrics.Ranks
    candidates: Candidates
    wanted: Floats
    years: NDArray[np.int64]

    def lists(self, objectives: Objectives) -> Ids:
        """The lists [users, 10] for these objectives; the model's own without any."""
        count = objectives.candidates(LIST_LENGTH)
        if not objectives.on:
            return self.candidates.items[:, :LIST_LENGTH]
        chosen = []
        for begin in range(0, len(self.ranks), BATCH):
            users = slice(begin, begin + BATCH)
            some = Candidates(self.candidates.items[users, :count], self.candidates.scores[users, :count])
            own = own_parts(some, self.items, objectives, self.years[users])
            chosen.append(choose(some, own, self.wanted[users], self.items, objectives, LIST_LENGTH).items)
        return np.concatenate(chosen)

    def figures(self, lists: Ids) -> dict[str, Figure]:
        """Every figure of lists [users, 10] that the data allows."""
        hits = lists == self.judged.targets[:, None]
        there = hits.any(1) & (self.judged.targets > 0)
        rank = np.where(there, hits.argmax(1), len(self.items.years))
        values = {name: value for name, value in metrics.per_user(rank).items() if name in OF_A_LIST}
        return self.described(lists, values)

    def plain_figures(self) -> dict[str, Figure]:
        """Those of the model's own lists, with the ranking metrics that look beyond them."""
        return self.described(self.lists(Objectives()), metrics.per_user(self.ranks))

    def described(self, lists: Ids, accuracy: dict[str, PerUser]) -> dict[str, Figure]:
        """The figures of accuracy and of the lists."""
        items, known = self.items, self.known
        catalogue_items = len(items.years) - 1
        figures = {name: Figure(float(value.mean()), value) for name, value in accuracy.items()}
        figures["coverage@10"] = Figure(
            metrics.coverage(lists, catalogue_items), metrics.coverage_influences(lists, catalogue_items)
        )
        values: dict[str, PerUser] = {}
        if "popularity" in known:
            values["novelty@10"] = metrics.novelty(lists, items.popularity)
            values["long_tail@10"] = metrics.long_tail(lists, items.popularity)
        if "vectors" in known:
            values["vector_diversity@10"] = metrics.vector_diversity(lists, items.vectors)
        if "genres" in known:
            values["genre_diversity@10"] = metrics.genre_diversity(lists, items.genres)
            values["calibration_kl@10"] = self.distances(lists)
        if "years" in known:
            values["freshness@10"] = metrics.freshness(lists, items.years, self.years)
        for name, value in values.items():
            if not np.isnan(value).all():
                figures[name] = Figure(float(np.nanmean(value)), value)
        return figures

    def distances(self, lists: Ids) -> PerUser:
        """The divergence of each list's genres from the history's; NaN for a history without genres."""
        distance = divergence(self.wanted, self.items.genre_shares(lists).sum(1))
        said = self.wanted.any(1) & (lists > 0).any(1)
        return np.where(said, distance, np.nan)

    def by_gap(self, figures: dict[str, Figure]) -> dict[str, Figure]:
        """nDCG@10 by the time since the user's event before; nothing where the data has no times."""
        if self.judged.moments is None:
            return {}
        return parts_by_gap(figures["ndcg@10"].shares, self.judged.moments.gaps)


def parts_by_gap(values: PerUser, gaps: NDArray[np.int64]) -> dict[str, Figure]:
    """Figures of the users in each of `GAPS`, by the seconds since their event before; none without users."""
    parts = {
        name: np.where((gaps >= low) & (gaps <= high), values, np.nan) for name, (low, high) in GAPS.items()
    }
    return {
        name: Figure(float(np.nanmean(part)), part)
        for name, part in parts.items()
        if not np.isnan(part).all()
    }


def error_of_mean(values: PerUser) -> float:
    """The standard error of the mean of the values that are none of NaN; NaN of less than two."""
    said = values[~np.isnan(values)]
    return float(said.std(ddof=1) / math.sqrt(len(said))) if len(said) > 1 else math.nan


def difference(figure: Figure, plain: Figure) -> Difference:
    """The figure less that of the plain lists, paired by user."""
    value = figure.value - plain.value
    half = 1.96 * error_of_mean(figure.shares - plain.shares)
    return Difference(value, value - half, value + half)


def kept(figure: Figure, plain: Figure) -> tuple[float, float]:
    """The share of the plain figure that is kept, with its standard error (delta method)."""
    share = figure.value / plain.value if plain.value else math.nan
    return share, error_of_mean(
        figure.shares - share * plain.shares
    ) / plain.value if plain.value else math.nan


def gather(
    recommender: Recommender, judged: Judged, args: argparse.Namespace, objectives: Objectives, count: int
) -> Gathered:
    """Run the model over the judged users and keep the best `count` items of each.

    Raises `DataError` where the data does not say what an objective needs.
    """
    items, known = describe_items(recommender, judged, args, objectives)
    check_known(objectives, known)
    users = len(judged.targets)
    count = min(count, recommender.items)
    rank = np.empty(users, dtype=np.int64)
    best, scores_of_best = (
        np.zeros((users, count), dtype=np.int32),
        np.zeros((users, count), dtype=np.float32),
    )
    wanted = np.zeros((users, items.genres.shape[1]))
    for some, histories, scores in score_batches(recommender, judged.inputs):
        targets = judged.targets[some]
        rank[some] = metrics.ranks(scores, histories, np.maximum(targets, 1))
        rank[some[targets == 0]] = recommender.items
        best[some] = top = metrics.top_items(scores, histories, count)
        scores_of_best[some] = np.take_along_axis(scores, np.maximum(top - 1, 0), 1)
        wanted[some] = history_shares(histories, items)
    return Gathered(
        judged, items, known, rank, Candidates(best, scores_of_best), wanted, years_of(judged, items, users)
    )


def ranks_of(recommender: Recommender, inputs: Histories, targets: Ids) -> metrics.Ranks:
    """Each user's rank, from 0, of the target; the last one where the model does not know it (target 0)."""
    rank = np.empty(len(targets), dtype=np.int64)
    for some, histories, scores in score_batches(recommender, inputs):
        rank[some] = metrics.ranks(scores, histories, np.maximum(targets[some], 1))
    rank[targets == 0] = recommender.items
    return rank


def score_batches(
    recommender: Recommender, inputs: Histories
) -> Iterator[tuple[NDArray[np.int64], list[Ids], NDArray[np.float32]]]:
    """Users of like length, their histories and their scores; a user without history gets equal scores."""
    order = np.argsort(inputs.lengths, kind="stable")
    empty = int((inputs.lengths == 0).sum())
    if empty:
        histories = [inputs[int(user)] for user in order[:empty]]
        yield order[:empty], histories, np.zeros((empty, recommender.items), dtype=np.float32)
    for begin in range(empty, len(order), BATCH):
        users = order[begin : begin + BATCH]
        histories = [inputs[int(user)] for user in users]
        yield users, histories, recommender.scores(histories)


def years_of(judged: Judged, items: Items, users: int) -> NDArray[np.int64]:
    """The year of each judged event; where the data has no times, that of the newest movie."""
    if judged.moments is None:
        return np.full(users, items.years.max())
    years: NDArray[np.int64] = (
        judged.moments.times.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64)
    )
    return years + 1970
