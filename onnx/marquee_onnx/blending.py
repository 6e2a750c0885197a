"""What a list is made of before the model knows a user well: the reference of the arithmetic.

After n events, each movie is worth

    ln softmax of the score + weight(n) * prior,    weight(n) = 8 up to five events, 1/2 up to twenty, then 0
    prior = ln(1 + events) + strength * share of the movie's genres that the user told

Without any event only the prior is left. It is no filter: a movie of other genres comes in when it is popular
enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.rerank import Floats

FEW, SOME = 5, 20
STRENGTH = 0.5


def weight(events: NDArray[np.integer], few: float = 8.0, some: float = 0.5) -> Floats:
    """The weight of the prior after so many events: that of a few, of some, or none."""
    return np.where(events <= FEW, few, np.where(events <= SOME, some, 0.0))


def prior(
    popularity: NDArray[np.int64],
    genres: NDArray[np.bool_],
    told: NDArray[np.bool_],
    strength: float = STRENGTH,
) -> Floats:
    """What every item is worth before any event, [..., N], where `told` are the genres told, [..., G].

    `popularity` is [N + 1] and `genres` [N + 1, G], row i for item i. Nothing told, or a movie without
    genres, adds nothing.
    """
    sizes = np.maximum(genres[1:].sum(1), 1)
    shares = told.astype(np.float64) @ genres[1:].T.astype(np.float64) / sizes
    return np.log1p(popularity[1:]) + strength * shares


def blend(scores: NDArray[np.floating], prior: Floats, weights: Floats) -> Floats:
    """What every item is worth to users with events, [users, N]: `scores` [users, N], `weights` [users]."""
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True)) + weights[:, None] * prior
