"""Who cold starts are tried on: users of whom a model is told nothing, or only their first events."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue, leave_out
from marquee_onnx.arguments import positive
from marquee_onnx.arguments import seed as any_seed
from marquee_onnx.data import (
    Dataset,
    Histories,
    Ids,
    Reading,
    Split,
    numbers_in,
    read_dataset,
    translate,
)
from marquee_onnx.errors import DataError
from marquee_onnx.recommenders import Encoder, open_encoder, read_vocabulary
from marquee_onnx.rerank import Floats, Items

BATCH = 64
LIST_LENGTH = 10


@dataclass(frozen=True)
class Cold:
    """A model, what is known of its items before the users come, and the users' whole histories.

    `who` says who they are; `open` [N + 1] which movies can be asked about and answered.
    """

    recommender: Encoder
    items: Items
    users: Histories
    who: str
    open: NDArray[np.bool_]

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """The model's scores [users, N]; zeros after an empty history."""
        scores = np.zeros((len(histories), self.recommender.items), dtype=np.float32)
        lengths = np.array([len(history) for history in histories])
        order = np.argsort(lengths, kind="stable")[(lengths == 0).sum() :]
        for begin in range(0, len(order), BATCH):
            users = order[begin : begin + BATCH]
            scores[users] = self.recommender.scores([histories[user] for user in users])
        return scores

    @property
    def closed(self) -> Ids:
        """The movies that are neither asked about nor answered."""
        return np.flatnonzero(~self.open[1:]).astype(np.int32) + 1


def gain(lists: Ids, wanted: Sequence[Ids]) -> Floats:
    """Each user's nDCG@10 with several wanted items, all worth the same; NaN of a user who wants nothing."""
    discount = 1 / np.log2(np.arange(LIST_LENGTH) + 2.0)
    values = np.full(len(lists), np.nan)
    for user, items in enumerate(wanted):
        if len(items):
            values[user] = (np.isin(lists[user], items) @ discount) / discount[: len(items)].sum()
    return values


def add_user_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model and the users."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="run folder or bundle")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="what the server knows: a MovieLens folder or a prepared split; the users asked are its own, or "
        "those left out of a folder of leave_out",
    )
    parser.add_argument("--users", type=Path, help="ask the users of this MovieLens folder or split instead")
    parser.add_argument("--most-users", type=positive, default=2000, help="ask at most so many users")
    parser.add_argument("--seed", type=any_seed, default=0, help="of everything random")


def add_year_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which movies users can have known."""
    parser.add_argument(
        "--latest-year", type=positive, help="leave out movies after this year: for users of an older release"
    )


def open_cold(args: argparse.Namespace) -> Cold:
    """The model and the users of the command line, in the model's item numbers."""
    vocabulary = known_movies(args.model)
    train, users, who = read_users(args, vocabulary)
    recommender = open_encoder(args.model)
    items = describe(recommender, train, args.data, vocabulary)
    opened = items.years <= (args.latest_year or items.years.max())
    return Cold(recommender, shut(items, opened), without(users, opened), who, opened)


def known_movies(model: Path) -> NDArray[np.uint32]:
    """The MovieLens ids of the model's items."""
    vocabulary = read_vocabulary(model)
    if vocabulary is None:
        raise DataError(f"{model} does not say which movies it knows; name a run folder or a bundle")
    return vocabulary


def shut(items: Items, opened: NDArray[np.bool_]) -> Items:
    """The items, the closed ones without events, so that none is popular."""
    return replace(items, popularity=np.where(opened, items.popularity, 0))


def without(users: Histories, opened: NDArray[np.bool_]) -> Histories:
    """The users' histories of open movies."""
    return translate(users, np.where(opened, np.arange(len(opened)), 0).astype(np.int32))


def read_users(args: argparse.Namespace, vocabulary: NDArray[np.uint32]) -> tuple[Histories, Histories, str]:
    """The histories that the server knows, those of the users to ask, and who they are.

    Both are in the item numbers of `vocabulary`, without movies that it lacks.
    """
    if (args.data / leave_out.UNSEEN).exists():
        left = leave_out.read(args.data)
        number = numbers_in(vocabulary, left.vocabulary)
        train, users = (translate(histories, number) for histories in (left.taken, left.unseen))
        who = "users left out of the training"
    else:
        known = read_dataset(args.data, Reading(split="none"))
        train = translate(known.split.train, numbers_in(vocabulary, known.vocabulary))
        users, who = train, "users of the data itself"
    if args.users is not None:
        users, who = others(Dataset(Split(train, train, train.items[:0]), vocabulary), args.users)
    if not len(users) or not users.lengths.any():
        raise DataError("there is nobody to ask: the users have rated no movie that the model knows")
    if len(users) > args.most_users:
        drawn = np.random.default_rng(args.seed).choice(len(users), args.most_users, replace=False)
        users = users.select(np.sort(drawn))
    return train, users, who


def others(known: Dataset, folder: Path) -> tuple[Histories, str]:
    """The users of another folder, without those who are in the known data too, in its item numbers."""
    other = read_dataset(folder, Reading(split="none"))
    users = known.without_copies(other).split.train
    gone = len(other.split.train) - len(users)
    moved = translate(users, numbers_in(known.vocabulary, other.vocabulary))
    return moved, f"users of another release, without {gone} who are in both"


def describe(recommender: Encoder, train: Histories, data: Path, vocabulary: NDArray[np.uint32]) -> Items:
    """What the data says of the model's items."""
    movies = catalogue.read_movies(data)
    rows = len(vocabulary) + 1
    return Items.of(
        np.pad(recommender.vectors, ((1, 0), (0, 0))),
        catalogue.genres(movies, vocabulary),
        np.bincount(train.items, minlength=rows),
        catalogue.years(movies, vocabulary),
        np.zeros(rows),
    )


def heading(users: int, who: str, seed: int) -> str:
    """When, and on whom."""
    return f"{date.today().isoformat()}, {users:,} {who}, seed {seed}"
