"""Histories in memory, and the readers that fill them.

A history is a user's items, oldest first by (time, movie id). All of them stand in one flat int32 array
with int64 offsets: ML-32M takes 128 MB so, where Python lists would take gigabytes. Item ids are 1..N;
the vocabulary maps them to MovieLens ids.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.arguments import fraction, positive
from marquee_onnx.errors import DataError
from marquee_onnx.text import open_text

Ids = NDArray[np.int32]
MOST_ITEMS = 1 << 24
LARGEST_ID = (1 << 32) - 1
SPARSE_FROM, SPARSE_FACTOR = 100_000, 100


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


class Moments(NamedTuple):
    """When judged events happened: seconds since 1970, and since the event before, [users] each."""

    times: NDArray[np.int64]
    gaps: NDArray[np.int64]


class Split(NamedTuple):
    """Training histories, and judged users: what they had seen and the one item that came next.

    `moments` are those of the next items, where the data has times.
    """

    train: Histories
    inputs: Histories
    targets: Ids
    moments: Moments | None = None


def read_sequences(path: Path) -> Histories:
    """Read one sequence of item numbers a line, oldest first, from a text file, gzipped or plain.

    A blank line is a user without history.
    """
    with open_text(path) as lines:
        return Histories.from_sequences(
            read_items(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)
        )


def read_items(line: str, place: str) -> Ids:
    """The item numbers of a line, 1 to `MOST_ITEMS`; `place` says where it stands."""
    try:
        items = np.array([int(word) for word in line.split()], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: item numbers are expected, separated by spaces: {error}") from error
    wrong = items[(items < 1) | (items > MOST_ITEMS)]
    if wrong.size:
        raise DataError(f"{place}: item {wrong[0]}; items are numbered from 1 to at most {MOST_ITEMS}")
    return items.astype(np.int32)


def read_training(path: Path) -> Histories:
    """The training sequences of a file; blank lines, which teach nothing, are passed over."""
    histories = read_sequences(path)
    users = np.flatnonzero(histories.lengths)
    if not users.size:
        raise DataError(f"{path} holds no sequence; write one a line, item numbers separated by spaces")
    return histories.select(users)


def read_targets(path: Path) -> Ids:
    """Read one item number a line; blank lines at the end are passed over."""
    lines = read_sequences(path)
    filled = 1 + int(np.flatnonzero(lines.lengths).max(initial=-1))
    wrong = np.flatnonzero(lines.lengths[:filled] != 1)
    if wrong.size:
        found = lines.lengths[wrong[0]]
        raise DataError(f"{path}, line {wrong[0] + 1}: {found} items; each line holds the one that came next")
    return lines.items


def read_judged_users(inputs_path: Path, targets_path: Path) -> tuple[Histories, Ids]:
    """Histories and the item that came next after each, line by line.

    Blank lines of the histories that no item stands beside are those at the file's end.
    """
    inputs, targets = read_sequences(inputs_path), read_targets(targets_path)
    if not targets.size:
        raise DataError(f"{targets_path} holds no item, so nobody can be judged")
    count = len(targets)
    if len(inputs) < count or inputs.lengths[count:].any():
        raise DataError(
            f"{inputs_path} has {len(inputs)} histories and {targets_path} {count} next items; "
            "line i of one belongs to line i of the other"
        )
    return Histories(inputs.items, inputs.offsets[: count + 1]), targets


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
        return Split(read_training(train), Histories.from_sequences([]), np.zeros(0, dtype=np.int32))
    return Split(read_training(train), *read_judged_users(inputs, targets))


def read_item_numbers(path: Path) -> NDArray[np.uint32]:
    """The MovieLens ids of a split's `items.tsv`; entry i is that of item i + 1."""
    with open_text(path) as lines:
        if next(lines, "0").split("\t")[0].strip().isdecimal():
            raise DataError(f"{path} has no header; its first line names the columns: item, movieId, ...")
        pairs = sorted(
            item_and_movie(line, f"{path}, line {number}")
            for number, line in enumerate(lines, 2)
            if line.strip()
        )
    if not pairs or [item for item, _ in pairs] != list(range(1, len(pairs) + 1)):
        raise DataError(f"{path} does not number its {len(pairs)} items from 1 without gaps; repair it")
    movies = np.array([movie for _, movie in pairs], dtype=np.uint32)
    if np.unique(movies).size != movies.size:
        raise DataError(f"{path} gives a movie two numbers; repair it")
    return movies


def item_and_movie(line: str, place: str) -> tuple[int, int]:
    """The first two fields of a line of `items.tsv`."""
    item, separator, rest = line.partition("\t")
    number = number_from_1(item, MOST_ITEMS)
    if not separator or number is None:
        raise DataError(f"{place}: an item number and a movie id are expected, separated by a tab")
    return number, movie_id(rest.split("\t")[0], place)


def movie_id(text: str, place: str) -> int:
    """A movie id as Marquee knows them."""
    number = number_from_1(text, LARGEST_ID)
    if number is None:
        raise DataError(f"{place}: movie id {text.strip()!r}; movie ids are numbers from 1 to {LARGEST_ID}")
    return number


def number_from_1(text: str, most: int) -> int | None:
    """The whole number from 1 to `most` that a field holds, or None."""
    digits = text.strip()
    number = int(digits) if digits.isdecimal() and len(digits) <= len(str(most)) else 0
    return number if 1 <= number <= most else None


def check_numbered(items: Ids, vocabulary: NDArray[np.uint32], place: Path) -> None:
    """Whether every item number stands for a movie of the vocabulary."""
    most = int(items.max(initial=0))
    if most > len(vocabulary):
        raise DataError(f"{place} names item {most}, and only {len(vocabulary)} are numbered; mend items.tsv")


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
    """A split, and the MovieLens id of item i + 1 at `vocabulary[i]`.

    `same_second` is the share of events that have the time of the user's event before, among those that have
    one before; None where the data has no times.
    """

    split: Split
    vocabulary: NDArray[np.uint32]
    same_second: float | None = None

    def with_histories(self, other: Dataset) -> Dataset:
        """Add another dataset's training histories, without movies that are not in this vocabulary."""
        added = translate(other.split.train, numbers_in(self.vocabulary, other.vocabulary))
        train = Histories.from_sequences([*self.split.train, *added])
        return replace(self, split=self.split._replace(train=train))

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
        return replace(other, split=other.split._replace(train=train))


@dataclass(frozen=True)
class Reading:
    """How a MovieLens folder becomes a dataset."""

    split: str = "leave-one-out"
    train_fraction: float = 0.9
    minimum_user: int = 1
    minimum_movie: int = 1
    vocabulary: str = "rated"

    @classmethod
    def of(cls, args: argparse.Namespace) -> Reading:
        """What the command line says of it."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})

    def held_back(self, folder: Path) -> dict[str, Any]:
        """What decides which events of a folder are held back from the training."""
        if prepared(folder, "train.txt") is not None:
            return {"split": "prepared"}
        cut = {"train_fraction": self.train_fraction} if self.split == "global-time" else {}
        minima = {"minimum_user": self.minimum_user, "minimum_movie": self.minimum_movie}
        return {"split": self.split, **minima, **cut}


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a MovieLens folder is read; a prepared split needs none of it."""
    parser.add_argument("--split", choices=("leave-one-out", "global-time", "none"), default="leave-one-out")
    parser.add_argument("--train-fraction", type=fraction, default=0.9, help="of a global-time split")
    parser.add_argument("--minimum-user", type=positive, default=1, help="least ratings of a user")
    parser.add_argument("--minimum-movie", type=positive, default=1, help="least ratings of a movie")
    parser.add_argument("--vocabulary", choices=("rated", "catalogue"), default="rated")


def read_dataset(folder: Path, reading: Reading) -> Dataset:
    """Read a prepared split (a folder with train.txt) or any MovieLens folder."""
    if prepared(folder, "train.txt") is not None:
        return read_prepared_dataset(folder)
    from marquee_onnx import movielens

    ratings = movielens.read_ratings(
        folder, reading.minimum_user, reading.minimum_movie, reading.vocabulary == "catalogue"
    )
    if reading.split == "leave-one-out":
        split = movielens.leave_one_out(ratings)
    elif reading.split == "global-time":
        split = movielens.global_time(ratings, reading.train_fraction)
    else:
        split = Split(ratings.histories, Histories.from_sequences([]), np.zeros(0, dtype=np.int32))
    return Dataset(split, ratings.vocabulary, ratings.same_second())


def check_dense(items: Ids, folder: Path) -> None:
    """Whether item numbers can be those of rows in a table, which scattered movie ids cannot."""
    most, distinct = int(items.max()), np.unique(items).size
    if most > max(SPARSE_FROM, SPARSE_FACTOR * distinct):
        raise DataError(
            f"{folder} has {distinct} items with numbers up to {most}; number them from 1 without gaps, and "
            "say which movie is which in items.tsv"
        )


def read_prepared_dataset(folder: Path) -> Dataset:
    """A prepared split; without items.tsv its item numbers are the movie ids."""
    split = read_prepared_split(folder)
    named = np.concatenate([split.train.items, split.inputs.items, split.targets])
    numbers = folder / "items.tsv"
    if numbers.exists():
        vocabulary = read_item_numbers(numbers)
        check_numbered(named, vocabulary, folder)
    else:
        check_dense(named, folder)
        vocabulary = np.arange(1, int(named.max()) + 1, dtype=np.uint32)
    return Dataset(split, vocabulary)
