"""Choosing a list from the model's best candidates: the reference of the arithmetic.

A movie's own value is its log-probability among the candidates plus the weighted terms for popularity,
freshness and rating. The set is chosen greedily, one movie at a time, by that value less what the movies
chosen before take off it; then it is shown in the order of the movies' own values. So it seeks the most of

    sum of own values - beta * sum of likeness to the likest movie chosen before - gamma * size * divergence

where likeness is the mean of the vectors' cosine and the genres' Jaccard similarity (0 for the first movie,
never below 0), and divergence that of the history's genres from the set's (Steck, "Calibrated
recommendations", RecSys 2018). Everything runs over a batch of users at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import Ids
from marquee_onnx.objectives import Objectives

Floats: TypeAlias = NDArray[np.float64]
SMOOTHING = 0.01
OWN = ("log_probability", "popularity", "freshness", "rating")
OF_THE_SET = ("diversity", "calibration")


@dataclass(frozen=True)
class Items:
    """What is known of every item, row i for item i; row 0 is nobody's.

    `vectors` are [N + 1, d] of length 1, `genres` [N + 1, G], the rest [N + 1]: events in the training data,
    years of release (0 where unknown) and mean stars.
    """

    vectors: NDArray[np.float32]
    genres: NDArray[np.bool_]
    popularity: NDArray[np.int64]
    years: NDArray[np.int64]
    ratings: Floats

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        genres: NDArray[np.bool_],
        popularity: NDArray[np.int64],
        years: NDArray[np.int64],
        ratings: Floats,
    ) -> Items:
        """Items with vectors of any length, which are brought to 1."""
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return cls(unit, genres, popularity, years, ratings)

    def genre_shares(self, items: NDArray[np.integer]) -> Floats:
        """Each movie's genres as shares that sum to 1, to 0 for a movie without genres: [..., G]."""
        sets = self.genres[items].astype(np.float64)
        return sets / np.maximum(sets.sum(-1, keepdims=True), 1)


@dataclass(frozen=True)
class Candidates:
    """The best movies of a batch of users, [users, C], best first; item 0 where a user has fewer."""

    items: Ids
    scores: NDArray[np.float32]

    def log_probabilities(self) -> Floats:
        """The log-softmax of the scores over each user's candidates; -inf where there is none."""
        scores = np.where(self.items > 0, self.scores.astype(np.float64), -np.inf)
        shifted = scores - np.maximum(scores.max(1, keepdims=True), np.finfo(np.float32).min)
        return shifted - np.log(np.maximum(np.exp(shifted).sum(1, keepdims=True), 1.0))


@dataclass(frozen=True)
class Lists:
    """The chosen lists, [users, k], in the order shown; item 0 where a list is shorter.

    `parts` says what each term gave a movie; a movie's parts of `OWN` sum to its own value.
    """

    items: Ids
    parts: dict[str, Floats]


def history_shares(histories: Sequence[Ids], items: Items) -> Floats:
    """The genres of each history as shares, [users, G]; zeros for one without genres."""
    totals = np.stack([items.genre_shares(history).sum(0) for history in histories])
    return totals / np.maximum(totals.sum(1, keepdims=True), 1e-12)


def own_parts(
    candidates: Candidates, items: Items, objectives: Objectives, years: NDArray[np.int64]
) -> dict[str, Floats]:
    """What every candidate is worth by itself, by term; `years` [users] is when each user is answered.

    Popularity is `ln(1 + events)`, freshness `2 ** (-age / half-life)` (0 where the year is unknown), rating
    the mean in stars.
    """
    released = items.years[candidates.items]
    age = np.maximum(years[:, None] - released, 0)
    fresh = np.where(released > 0, np.exp2(-age / objectives.freshness_half_life), 0.0)
    return {
        "log_probability": candidates.log_probabilities(),
        "popularity": objectives.popularity_weight * np.log1p(items.popularity[candidates.items]),
        "freshness": objectives.freshness_weight * fresh,
        "rating": objectives.rating_weight * items.ratings[candidates.items],
    }


def likeness(items: Items, chosen: Ids, candidates: Ids) -> Floats:
    """The mean of the vectors' cosine and the genres' Jaccard similarity with one movie a user: [users, C].

    Two movies without genres count as alike, as in the diversity of a list.
    """
    cosine = np.einsum("ucd,ud->uc", items.vectors[candidates], items.vectors[chosen])
    theirs, ours = items.genres[candidates], items.genres[chosen][:, None]
    union = (theirs | ours).sum(2)
    jaccard = np.where(union > 0, (theirs & ours).sum(2) / np.maximum(union, 1), 1.0)
    return (cosine + jaccard) / 2


def divergence(wanted: Floats, totals: Floats) -> Floats:
    """The Kullback-Leibler divergence, in nats, of lists' genres from the wanted shares.

    `wanted` is [..., G] and `totals` the sum of the list's genre shares, [..., G]; what the list lacks of the
    wanted is smoothed by one hundredth of it. A user who wants nothing has 0.
    """
    shares = totals / np.maximum(totals.sum(-1, keepdims=True), 1e-12)
    smoothed = (1 - SMOOTHING) * shares + SMOOTHING * wanted
    ratio = np.divide(wanted, smoothed, out=np.ones_like(smoothed), where=wanted > 0)
    return np.asarray((wanted * np.log(ratio)).sum(-1))


def choose(
    candidates: Candidates,
    own: dict[str, Floats],
    wanted: Floats,
    items: Items,
    objectives: Objectives,
    k: int,
) -> Lists:
    """Choose k movies a user and show them by their own values; equal ones in the order of the candidates."""
    users = np.arange(len(candidates.items))
    value = np.sum([own[name] for name in OWN], axis=0)
    left = candidates.items > 0
    shares, genres = items.genre_shares(candidates.items), items.genres[candidates.items]
    nearest = np.zeros(value.shape)
    totals, counts = np.zeros(wanted.shape), np.zeros(wanted.shape, dtype=np.int64)
    unlike = np.zeros(len(users))
    places, penalties, costs = [], [], []
    for size in range(1, min(k, value.shape[1]) + 1):
        allowed = left
        if objectives.max_per_genre is not None:
            full = counts >= objectives.max_per_genre
            allowed = left & ~(genres & full[:, None]).any(2)
        penalty, cost = objectives.beta * nearest, np.zeros(value.shape)
        if objectives.gamma:
            now = size * divergence(wanted[:, None], totals[:, None] + shares)
            cost = objectives.gamma * (now - unlike[:, None])
        best = np.where(allowed, value - penalty - cost, -np.inf).argmax(1)
        taken = allowed[users, best]
        places.append(np.where(taken, best, -1))
        penalties.append(-penalty[users, best])
        costs.append(-cost[users, best])
        totals += np.where(taken[:, None], shares[users, best], 0)
        counts += genres[users, best] & taken[:, None]
        unlike = size * divergence(wanted, totals)
        left = left.copy()
        left[users, best] = False
        if objectives.beta:
            nearest = np.maximum(nearest, likeness(items, candidates.items[users, best], candidates.items))
    return shown(candidates, own, np.stack(places, 1), np.stack(penalties, 1), np.stack(costs, 1))


def shown(
    candidates: Candidates,
    own: dict[str, Floats],
    places: NDArray[np.int64],
    penalties: Floats,
    costs: Floats,
) -> Lists:
    """The chosen places [users, k], -1 for none, in the order of the movies' own values."""
    rows = np.arange(len(places))[:, None]
    value = np.sum([own[name] for name in OWN], axis=0)[rows, places]
    value = np.where(places >= 0, value, -np.inf)
    order = np.lexsort((places, -value), axis=1)
    places = places[rows, order]
    there = places >= 0
    parts = {name: np.where(there, own[name][rows, places], 0.0) for name in OWN}
    parts |= {
        name: np.where(there, part[rows, order], 0.0)
        for name, part in zip(OF_THE_SET, (penalties, costs), strict=True)
    }
    return Lists(np.where(there, candidates.items[rows, places], 0).astype(np.int32), parts)
