"""Which movies a new user is asked about: known ones that are little alike. The reference of the arithmetic.

The list is chosen greedily from the movies with the most events, by maximal marginal relevance: each time the
one with the most of

    (1 - similarity) * events / most events - similarity * cosine to the likest movie chosen before

where the cosine is that of the item vectors, 0 for the first movie and never below 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import Ids
from marquee_onnx.objectives import Objectives

SIMILARITY = 0.5


def choose(
    popularity: NDArray[np.int64],
    vectors: NDArray[np.float32],
    k: int,
    similarity: float = SIMILARITY,
    candidates: int | None = None,
) -> Ids:
    """The k movies to ask about, in the order chosen; of equal ones the more popular, then by ascending item.

    `popularity` is [N + 1] and `vectors` [N + 1, d] of length 1, row i for item i. So many `candidates`
    with the most events are chosen from: max(100, 5 k) by default.
    """
    best = most_popular(popularity, candidates or Objectives().candidates(k))
    share = popularity[best] / max(int(popularity[best].max(initial=0)), 1)
    rows = vectors[best].astype(np.float64)
    nearest, left = np.zeros(len(best)), np.ones(len(best), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(min(k, len(best))):
        value = (1 - similarity) * share - similarity * nearest
        place = int(np.where(left, value, -np.inf).argmax())
        chosen.append(place)
        left[place] = False
        nearest = np.maximum(nearest, rows @ rows[place])
    return best[chosen]


def most_popular(popularity: NDArray[np.int64], count: int) -> Ids:
    """The items with the most events, best first, ties by ascending item."""
    return (np.argsort(-popularity[1:], kind="stable")[:count] + 1).astype(np.int32)


def popular_by_genre(popularity: NDArray[np.int64], genres: NDArray[np.bool_], k: int) -> Ids:
    """The most popular movie of each genre in turn, of those not taken before: another list to compare with.

    `genres` is [N + 1, G]; the genres take turns by the events of their movies, most first.
    """
    turns = np.argsort(-(popularity @ genres), kind="stable")
    order = most_popular(popularity, len(popularity))
    chosen: list[int] = []
    while len(chosen) < k:
        before = len(chosen)
        for genre in turns:
            others = order[genres[order, genre] & ~np.isin(order, chosen)]
            chosen += others[:1].tolist()
        if len(chosen) == before:
            break
    return np.array(chosen[:k], dtype=np.int32)
