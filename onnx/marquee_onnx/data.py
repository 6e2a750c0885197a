"""Histories in memory, and the readers that fill them.

A history is a user's items, oldest first by (time, movie id). All of them stand in one flat int32 array
with int64 offsets: ML-32M takes 128 MB so, where Python lists would take gigabytes. Item ids are 1..N;
the vocabulary maps them to MovieLens ids.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.errors import MarqueeError

Ids = NDArray[np.int32]


class DataError(MarqueeError):
    """Data that cannot be read or does not fit; the message says what to do next."""


@dataclass(frozen=True)
class Histories:
    """The item sequences of many users: `items[offsets[u]:offsets[u + 1]]` is that of user u."""

    items: Ids
    offsets: NDArray[np.int64]

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence[int] | Ids]) -> Histories:
        """Pack sequences of item ids."""
        arrays = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        items = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
        return cls(items, offsets)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of items of each user."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> Ids:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def __iter__(self) -> Iterator[Ids]:
        return (self[user] for user in range(len(self)))

    def without_last(self, count: int = 1) -> Histories:
        """The same users without their newest `count` items."""
        return self.take(np.maximum(self.lengths - count, 0))

    def take(self, lengths: NDArray[np.int64]) -> Histories:
        """The oldest `lengths[u]` items of every user u."""
        within = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.lengths)
        kept = self.items[within < np.repeat(lengths, self.lengths)]
        return Histories(kept, np.concatenate([[0], np.cumsum(np.minimum(lengths, self.lengths))]))

    def select(self, users: NDArray[np.int64]) -> Histories:
        """The given users, in the given order."""
        return Histories.from_sequences(self[int(user)] for user in users)


class Split(NamedTuple):
    """Training histories, and judged users: what they had seen and the one item that came next."""

    train: Histories
    inputs: Histories
    targets: Ids


def read_sequences(path: Path) -> Histories:
    """Read one sequence of item numbers a line, oldest first, from a text file, gzipped or plain."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as lines:
        return Histories.from_sequences(
            read_items(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)
        )


def read_items(line: str, place: str) -> Ids:
    """The item numbers of a line, from 1; `place` says where it stands."""
    try:
        items = np.array(line.split(), dtype=np.int32)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: item numbers are expected, separated by spaces: {error}") from error
    if items.min(initial=1) < 1:
        raise DataError(f"{place}: item {items.min()}; items are numbered from 1")
    return items


def read_targets(path: Path) -> Ids:
    """Read one item id a line."""
    return read_sequences(path).items


def prepared(folder: Path, name: str) -> Path | None:
    """The file `name` of a prepared split, plain or gzipped, or None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.exists()), None)


def read_prepared_split(folder: Path) -> Split:
    """Read `train.txt`, `val_input.txt` and `val_output.txt`; without the last two nobody is judged."""
    train, inputs, targets = (
        prepared(folder, name) for name in ("train.txt", "val_input.txt", "val_output.txt")
    )
    if train is None:
        raise DataError(f"{folder} has neither train.txt nor train.txt.gz; it is not a prepared split")
    if inputs is None or targets is None:
        return Split(read_sequences(train), Histories.from_sequences([]), np.zeros(0, dtype=np.int32))
    return Split(read_sequences(train), read_sequences(inputs), read_targets(targets))


def read_item_numbers(path: Path) -> NDArray[np.uint32]:
    """The MovieLens ids of a split's `items.tsv`; entry i is that of item i + 1."""
    with path.open(encoding="utf-8") as lines:
        next(lines)
        pairs = sorted((int(fields[0]), int(fields[1])) for fields in (line.split("\t") for line in lines))
    if [item for item, _ in pairs] != list(range(1, len(pairs) + 1)):
        raise DataError(f"{path} does not number its items 1 to {len(pairs)}; repair it")
    return np.array([movie for _, movie in pairs], dtype=np.uint32)


def numbers_in(vocabulary: NDArray[np.uint32], other: NDArray[np.uint32]) -> Ids:
    """The item number in `vocabulary` of every item number of `other`, [N + 1]; 0 for what it lacks."""
    order = np.argsort(vocabulary)
    found = np.searchsorted(vocabulary[order], other).clip(max=len(order) - 1)
    known = vocabulary[order][found] == other
    return np.concatenate([[0], np.where(known, order[found] + 1, 0)]).astype(np.int32)


def translate(histories: Histories, number: Ids) -> Histories:
    """Histories with item i as `number[i]`, without those that become 0."""
    moved = (number[history] for history in histories)
    return Histories.from_sequences([history[history > 0] for history in moved])


@dataclass(frozen=True)
class Dataset:
    """A split, and the MovieLens id of item i + 1 at `vocabulary[i]`."""

    split: Split
    vocabulary: NDArray[np.uint32]

    def with_histories(self, other: Dataset) -> Dataset:
        """Add another dataset's training histories, without movies that are not in this vocabulary."""
        added = translate(other.split.train, numbers_in(self.vocabulary, other.vocabulary))
        train = Histories.from_sequences([*self.split.train, *added])
        return Dataset(self.split._replace(train=train), self.vocabulary)

    def without_copies(self, other: Dataset) -> Dataset:
        """`other` without the training histories that are, by their movies, those of a judged user.

        Releases of MovieLens draw from the same users: some 40 of ML-1M's stand in ml-latest-small, and
        would bring the held-back items along. Two histories are one user's when more than half of the
        movies in either are in both; real pairs lie above 0.53 there, the others below 0.48.
        """
        judged = self.split.inputs
        events = np.argsort(self.vocabulary[judged.items - 1], kind="stable")
        movies = self.vocabulary[judged.items - 1][events]
        users = np.repeat(np.arange(len(judged)), judged.lengths)[events]
        kept = []
        for user, history in enumerate(other.split.train):
            wanted = other.vocabulary[history - 1]
            begins, ends = (np.searchsorted(movies, wanted, side) for side in ("left", "right"))
            found = np.concatenate([users[begin:end] for begin, end in zip(begins, ends, strict=True)])
            shared = np.bincount(found, minlength=len(judged))
            if not (2 * shared > len(history) + judged.lengths - shared).any():
                kept.append(user)
        train = other.split.train.select(np.array(kept, dtype=np.int64))
        return Dataset(other.split._replace(train=train), other.vocabulary)


@dataclass(frozen=True)
class Reading:
    """How a MovieLens folder becomes a dataset."""

    split: str = "leave-one-out"
    train_fraction: float = 0.9
    minimum_user: int = 1
    minimum_movie: int = 1
    vocabulary: str = "rated"


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a MovieLens folder is read; a prepared split needs none of it."""
    parser.add_argument("--split", choices=("leave-one-out", "global-time", "none"), default="leave-one-out")
    parser.add_argument("--train-fraction", type=float, default=0.9, help="of a global-time split")
    parser.add_argument("--minimum-user", type=int, default=1, help="least ratings of a user")
    parser.add_argument("--minimum-movie", type=int, default=1, help="least ratings of a movie")
    parser.add_argument("--vocabulary", choices=("rated", "catalogue"), default="rated")


def read_dataset(folder: Path, reading: Reading) -> Dataset:
    """Read a prepared split (a folder with train.txt) or any MovieLens folder."""
    if prepared(folder, "train.txt") is not None:
        split = read_prepared_split(folder)
        numbers = folder / "items.tsv"
        most = int(split.train.items.max())
        vocabulary = (
            read_item_numbers(numbers) if numbers.exists() else np.arange(1, most + 1, dtype=np.uint32)
        )
        return Dataset(split, vocabulary)
    from marquee_onnx import movielens

    ratings = movielens.read_ratings(
        folder, reading.minimum_user, reading.minimum_movie, reading.vocabulary == "catalogue"
    )
    if reading.split == "leave-one-out":
        split = movielens.leave_one_out(ratings.histories)
    elif reading.split == "global-time":
        split = movielens.global_time(ratings, reading.train_fraction)
    else:
        split = Split(ratings.histories, Histories.from_sequences([]), np.zeros(0, dtype=np.int32))
    return Dataset(split, ratings.vocabulary)
