"""What a sequence model has to beat: popularity, co-occurrence that decays with distance, nearest items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import Histories, Ids
from marquee_onnx.errors import DataError

MOST_ITEMS = 20_000
MOST_USERS = 20_000
USERS_AT_ONCE = 1024


class Popularity:
    """Every user gets the items with the most training events."""

    vectors: NDArray[np.float32] | None = None

    def __init__(self, train: Histories, items: int):
        self.items = items
        self.counts = np.bincount(train.items, minlength=items + 1)[1:].astype(np.float32)

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N], the same for all users."""
        return np.tile(self.counts, (len(histories), 1))


class CoOccurrence:
    """Items that followed the user's newest ones soon after, in other histories.

    A pair at distance t counts `decay ** (t - 1)` up to `window`; the sum is divided by the follower's
    popularity to the power `damping`, and the user's newest items count with the same decay of their age.
    """

    vectors: NDArray[np.float32] | None = None

    def __init__(
        self, train: Histories, items: int, window: int = 10, decay: float = 0.7, damping: float = 0.4
    ):
        check_size("co-occurrence", items)
        self.items, self.window, self.decay = items, window, decay
        pairs = np.zeros(items * items, dtype=np.float32)
        users = np.repeat(np.arange(len(train)), train.lengths)
        for distance in range(1, window + 1):
            same = users[distance:] == users[:-distance]
            first, then = train.items[:-distance][same] - 1, train.items[distance:][same] - 1
            found, count = np.unique(first.astype(np.int64) * items + then, return_counts=True)
            pairs[found] += count * np.float32(decay ** (distance - 1))
        popularity = np.maximum(np.bincount(train.items, minlength=items + 1)[1:], 1)
        self.followers = pairs.reshape(items, items) / popularity.astype(np.float32) ** damping

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        scores = np.empty((len(histories), self.items), dtype=np.float32)
        for row, history in enumerate(histories):
            newest = history[: -self.window - 1 : -1] - 1
            weights = np.float32(self.decay) ** np.arange(len(newest), dtype=np.float32)
            scores[row] = weights @ self.followers[newest]
        return scores


class ItemKnn:
    """Items that the same users have as those of the history, whatever their order.

    Two items are as similar as the cosine of who has them, `both / (sqrt(first * second) + shrinkage)`. Each
    item of the history adds the similarities of its `neighbours` nearest. They are counted on at most
    `MOST_USERS` users, spread evenly over all.
    """

    vectors: NDArray[np.float32] | None = None

    def __init__(self, train: Histories, items: int, neighbours: int = 100, shrinkage: float = 10.0):
        check_size("item-knn", items)
        self.items = items
        if len(train) > MOST_USERS:
            train = train.select(np.linspace(0, len(train) - 1, MOST_USERS).astype(np.int64))
        both = np.zeros((items, items), dtype=np.float32)
        for begin in range(0, len(train), USERS_AT_ONCE):
            some = range(begin, min(begin + USERS_AT_ONCE, len(train)))
            has = np.zeros((len(some), items), dtype=np.float32)
            for row, user in enumerate(some):
                has[row, train[user] - 1] = 1.0
            both += has.T @ has
        lengths = np.sqrt(both.diagonal())
        np.fill_diagonal(both, 0.0)
        for row in range(items):  # in place: of 20,000 items a copy is 1.6 GB
            both[row] /= lengths[row] * lengths + np.float32(shrinkage)
            least = np.partition(both[row], -neighbours)[-neighbours] if neighbours < items else 0.0
            both[row][both[row] < least] = 0.0
        self.similar = both

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        return np.stack([self.similar[history - 1].sum(0) for history in histories])


def check_size(name: str, items: int) -> None:
    """Whether a table of items x items numbers is bearable."""
    if items > MOST_ITEMS:
        raise DataError(f"{name} keeps items x items counts: {items} are more than {MOST_ITEMS}")
