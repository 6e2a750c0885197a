"""What one training step sees: windows of histories, the items that follow, candidates to push down.

Windows of like length stand together, and a batch is filled by tokens rather than by users: half of
ML-1M's users have fewer than 93 items, so padding everything to 200 would double the work, and counting
users would weigh a short history's events more than a long one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import Histories, Ids

NEVER = np.int32(np.iinfo(np.int32).max)
BUCKET_NOISE = 10.0


@dataclass(frozen=True)
class Batch:
    """Right-padded windows with the targets of their valid positions, row after row.

    `first_seen[b, c]` is the index in the whole history of row b at which candidate c first stands,
    `NEVER` when it does not; `target_index` is that of each target in its own history.
    """

    items: Ids
    lengths: Ids
    targets: Ids
    target_index: Ids
    rows: Ids
    candidates: Ids
    first_seen: Ids


@dataclass(frozen=True)
class Windows:
    """Draws the batches of an epoch: every user with two or more items once.

    A history longer than `maximum_length + 1` gives its newest window, or with the probability
    `random_windows` one that begins anywhere. `negatives` is the number of candidates of a batch,
    None for the whole catalogue.
    """

    histories: Histories
    items: int
    maximum_length: int
    batch_tokens: int
    negatives: int | None
    random_windows: float = 0.5

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch, decided by `rng` alone."""
        lengths = np.minimum(self.histories.lengths - 1, self.maximum_length)
        users = np.flatnonzero(lengths > 0)
        order = users[np.argsort(lengths[users] + rng.uniform(0.0, BUCKET_NOISE, len(users)))]
        groups = self._fill(order, lengths[order])
        column = np.full(self.items + 2, -1, dtype=np.int32)
        for group in rng.permutation(len(groups)):
            yield self._batch(groups[group], lengths, column, rng)

    def batches(self) -> int:
        """About how many batches an epoch has."""
        lengths = np.minimum(self.histories.lengths - 1, self.maximum_length)
        return max(1, round(int(lengths[lengths > 0].sum()) / self.batch_tokens))

    def _fill(self, users: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        bins = (np.cumsum(lengths) - 1) // self.batch_tokens
        return np.split(users, np.flatnonzero(np.diff(bins)) + 1)

    def _batch(
        self, users: NDArray[np.int64], lengths: NDArray[np.int64], column: Ids, rng: np.random.Generator
    ) -> Batch:
        window = lengths[users]
        newest = self.histories.lengths[users] - 1 - window
        anywhere = rng.random(len(users)) < self.random_windows
        starts = np.where(anywhere, rng.integers(0, newest + 1), newest)
        rows, steps = ragged(window)
        index = starts[rows] + steps
        flat = self.histories.offsets[users][rows] + index
        items = np.full((len(users), int(window.max())), self.items + 1, dtype=np.int32)
        items[rows, steps] = self.histories.items[flat]
        candidates = self._candidates(rng)
        return Batch(
            items=items,
            lengths=window.astype(np.int32),
            targets=self.histories.items[flat + 1],
            target_index=(index + 1).astype(np.int32),
            rows=rows.astype(np.int32),
            candidates=candidates,
            first_seen=self._first_seen(users, candidates, column),
        )

    def _candidates(self, rng: np.random.Generator) -> Ids:
        if self.negatives is None or self.negatives >= self.items:
            return np.arange(1, self.items + 1, dtype=np.int32)
        drawn = rng.choice(self.items, self.negatives, replace=False, shuffle=False)
        return (drawn + 1).astype(np.int32)

    def _first_seen(self, users: NDArray[np.int64], candidates: Ids, column: Ids) -> Ids:
        """Look the histories up in the candidates: the cost does not grow with the catalogue.

        `column` is scratch of N + 2 entries, all -1 before and after.
        """
        rows, steps = ragged(self.histories.lengths[users])
        column[candidates] = np.arange(len(candidates), dtype=np.int32)
        columns = column[self.histories.items[self.histories.offsets[users][rows] + steps]]
        column[candidates] = -1
        hit = np.flatnonzero(columns >= 0)[::-1]
        first = np.full((len(users), len(candidates)), NEVER, dtype=np.int32)
        first[rows[hit], columns[hit]] = steps[hit]  # backwards, so that the earliest is written last
        return first


def ragged(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and step of every element of rows with these lengths, row after row."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    begins = np.cumsum(lengths) - lengths
    return rows, np.arange(len(rows)) - begins[rows]
