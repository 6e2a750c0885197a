"""Ranking metrics over the whole catalogue, never over sampled items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]
PerUser = NDArray[np.float64]


def ranks(
    scores: NDArray[np.float32], seen: Sequence[NDArray[np.int32]], targets: NDArray[np.int32]
) -> Ranks:
    """The rank, from 0, of every row's target among the items that the user has not seen.

    `scores` is [users, N], column i for item i + 1. Ties are broken by ascending item id.
    """
    columns = targets - 1
    target = scores[np.arange(len(targets)), columns][:, None]
    ahead = scores > target
    ahead |= (scores == target) & (np.arange(scores.shape[1]) < columns[:, None])
    for row, history in enumerate(seen):
        ahead[row, history - 1] = False
    return ahead.sum(1)


def top_items(scores: NDArray[np.float32], seen: Sequence[NDArray[np.int32]], k: int) -> NDArray[np.int32]:
    """The k best unseen items [users, k], best first, ties by ascending item id; 0 where too few are left."""
    open_scores = scores.astype(np.float32, copy=True)
    for row, history in enumerate(seen):
        open_scores[row, history - 1] = -np.inf
    k = min(k, scores.shape[1])
    threshold = np.partition(open_scores, -k, axis=1)[:, -k]
    best = np.zeros((len(scores), k), dtype=np.int32)
    for row, row_scores in enumerate(open_scores):
        candidates = np.flatnonzero((row_scores >= threshold[row]) & (row_scores > -np.inf))
        order = np.argsort(-row_scores[candidates], kind="stable")[:k]
        best[row, : len(order)] = candidates[order] + 1
    return best


def gains(rank: Ranks, k: int) -> PerUser:
    """nDCG@k of every user with one relevant item: `1 / log2(rank + 2)` within the first k."""
    return np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)


def per_user(rank: Ranks) -> dict[str, PerUser]:
    """Each ranking metric's value for every user."""
    recalls = {f"recall@{k}": (rank < k).astype(np.float64) for k in (1, 10, 20)}
    return {"ndcg@10": gains(rank, 10), **recalls, "mrr": np.reciprocal(rank + 1.0, dtype=np.float64)}


def summary(rank: Ranks) -> dict[str, float]:
    """The means of `per_user`."""
    return {name: float(values.mean()) for name, values in per_user(rank).items()}


def bootstrap(
    values: PerUser, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of the mean over users resampled with replacement."""
    rng = np.random.default_rng(seed)
    users = len(values)
    means = [values[rng.integers(0, users, users)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def coverage(lists: NDArray[np.int32], items: int) -> float:
    """The share of the catalogue that stands in at least one list."""
    return len(np.unique(lists[lists > 0])) / items


def coverage_influences(lists: NDArray[np.int32], items: int) -> PerUser:
    """What every list adds to the coverage, `users - 1` times, for the jackknife.

    The standard error of the coverage is that of these values' mean.
    """
    distinct, counts = np.unique(lists[lists > 0], return_counts=True)
    alone = np.zeros(int(distinct.max(initial=0)) + 1, dtype=np.bool_)
    alone[distinct[counts == 1]] = True
    return (len(lists) - 1) * alone[lists].sum(1) / items


def genre_diversity(lists: NDArray[np.int32], genres: NDArray[np.bool_]) -> PerUser:
    """Every list's mean over its pairs of one minus the Jaccard similarity of the genres.

    `genres` is [N + 1, G], row i for item i; two movies without genres count as alike.
    """
    sets = genres[lists].astype(np.float32)
    shared = sets @ sets.transpose(0, 2, 1)
    sizes = sets.sum(2)
    union = sizes[:, :, None] + sizes[:, None, :] - shared
    return pair_means(lists, 1 - np.where(union > 0, shared / np.maximum(union, 1), 1.0))


def vector_diversity(lists: NDArray[np.int32], vectors: NDArray[np.float32]) -> PerUser:
    """Every list's mean over its pairs of one minus the cosine; `vectors` are [N + 1, d] of length 1."""
    rows = vectors[lists]
    return pair_means(lists, 1 - rows @ rows.transpose(0, 2, 1))


def pair_means(lists: NDArray[np.int32], values: NDArray[np.floating]) -> PerUser:
    """Every list's mean of `values` [users, k, k] over pairs of its items; NaN with less than two."""
    first, second = np.triu_indices(lists.shape[1], 1)
    present = (lists[:, first] > 0) & (lists[:, second] > 0)
    return mean_where(values[:, first, second], present)


def novelty(lists: NDArray[np.int32], counts: NDArray[np.int64]) -> PerUser:
    """Every list's mean self-information, in bits, of its items' share of the training events.

    `counts` is [N + 1], entry i for item i; one is added to each, for the items without events.
    """
    share = (counts + 1) / (counts[1:].sum() + len(counts) - 1)
    return mean_where(-np.log2(share[lists]), lists > 0)


def long_tail(lists: NDArray[np.int32], counts: NDArray[np.int64], head: float = 0.2) -> PerUser:
    """The share of every list outside the `head` of the catalogue that has the most training events."""
    popular = np.argsort(-counts[1:], kind="stable")[: int(np.ceil(head * (len(counts) - 1)))] + 1
    tail = np.ones(len(counts), dtype=np.bool_)
    tail[popular] = False
    return mean_where(tail[lists], lists > 0)


def freshness(
    lists: NDArray[np.int32], years: NDArray[np.int64], now: NDArray[np.int64], window: int = 5
) -> PerUser:
    """The share of every list that was younger than `window` years in the year `now` [users].

    `years` is [N + 1], 0 where unknown; those count as old.
    """
    released = years[lists]
    return mean_where((released > 0) & (released > now[:, None] - window), lists > 0)


def mean_where(values: NDArray[np.generic], where: NDArray[np.bool_]) -> PerUser:
    """Each row's mean of the values where `where` holds; NaN of none."""
    count = where.sum(1)
    total = np.where(where, values, 0).sum(1, dtype=np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def standard_error(users: int) -> float:
    """About what nDCG@10 over so many users is uncertain by: its values differ by 0.3 from user to user."""
    return 0.3 / users**0.5
