"""Whether data can carry a model: what teaches nothing is refused, what teaches little is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marquee_onnx.data import Dataset
from marquee_onnx.errors import DataError, warn
from marquee_onnx.judged import FEW_USERS, warn_of_few

FEW_MOVIES = 100
FEW_EVENTS = 10_000
MANY_AT_ONCE = 0.5


def check_enough(dataset: Dataset, folder: Path) -> None:
    """Refuse data from which nothing can be learnt, and warn where that is next to nothing."""
    train = dataset.split.train
    followed = train.select(np.flatnonzero(train.lengths >= 2))
    if not len(followed):
        raise DataError(
            f"{folder} leaves no training history of two or more items, and what follows what is all that is "
            "learnt; give more events a user, or --split none, which holds none of them back"
        )
    if len(followed) < FEW_USERS:
        warn(f"histories of two or more items to learn from: {len(followed)}; expect little of the model")
    movies, events = np.unique(train.items).size, len(train.items)
    if movies < FEW_MOVIES:
        warn(f"movies with events: {movies}; a list of ten is a good part of them, so any order looks right")
    if events < FEW_EVENTS:
        warn(
            f"events to learn from: {events:,}; below {FEW_EVENTS:,} popularity and item-knn are hard to beat"
        )
    warn_of_order(dataset.same_second)
    if len(dataset.split.targets):
        warn_of_few(len(dataset.split.targets))
    else:
        warn("nobody is judged: how good the model is stays unknown")


def warn_of_order(same_second: float | None) -> None:
    """Say so where times do not tell what followed what, which is what the model learns."""
    if same_second is None or same_second <= MANY_AT_ONCE:
        return
    if same_second == 1.0:
        warn(
            "every user's events have one time: their order is that of the movie ids and says nothing; give "
            "times in seconds, or expect no more than item-knn gives"
        )
    else:
        warn(
            f"events in the same second as the user's event before: {100 * same_second:.0f}%; their order is "
            "that of the movie ids, and the model learns it: judge by the gap over a minute"
        )
