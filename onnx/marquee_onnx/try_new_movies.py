"""New movies: rows predicted from the catalogue, folded in with events, and served in a place of their own.

The new movies are those that leave_out left out or, with a model that knows all of them, a share that is
hidden from it: then they were in its training. Users are judged at random places of their histories, of which
the model sees the known movies. Events of new movies come from the users of the data, at random.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue, leave_out, metrics
from marquee_onnx.arguments import fraction, positive
from marquee_onnx.cold_users import BATCH, LIST_LENGTH, heading, known_movies, read_users
from marquee_onnx.data import Histories, Ids, numbers_in
from marquee_onnx.errors import UsageError
from marquee_onnx.markdown import table
from marquee_onnx.new_movies import Content, features_of, with_places
from marquee_onnx.recommenders import Encoder, open_encoder

AFTER = (1, 3, 10)
SHARE = 0.02
EARLIEST = 5
SCORED = 512


@dataclass(frozen=True)
class Movies:
    """The items 1..N of a catalogue: their number in the model [N + 1], 0 for new ones.

    `new` are the new items, ascending, and `hidden` their numbers in a model that knows them after all.
    """

    model: Encoder
    number: Ids
    new: Ids
    hidden: Ids | None = None

    def encode(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """User vectors [users, d] of what the model knows of histories, at least one movie of each."""
        known = [number[number > 0] for number in (self.number[history] for history in histories)]
        order = np.argsort([len(history) for history in known], kind="stable")
        vectors = np.zeros((len(known), self.model.vectors.shape[1]), dtype=np.float32)
        for begin in range(0, len(order), BATCH):
            some = order[begin : begin + BATCH]
            vectors[some] = self.model.users([known[place] for place in some])
        return vectors


@dataclass(frozen=True)
class Places:
    """Judged places of histories: what stood before, what came next, if that is new, and whose they are."""

    histories: list[Ids]
    targets: Ids
    new: NDArray[np.bool_]
    users: NDArray[np.int64]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this trial."""
    parser.add_argument(
        "--hide", type=fraction, default=0.2, help="share of the movies, where none was left out"
    )
    parser.add_argument("--tags", action="store_true", help="read tags.csv of --data too")
    parser.add_argument("--places", type=positive, default=40, help="most places of a history to judge")


def report(args: argparse.Namespace) -> str:
    """A line a way to get the new movies' rows."""
    rng = np.random.default_rng(args.seed)
    vocabulary, movies = open_movies(args, rng)
    train, users, who = read_users(args, vocabulary)
    if users is train:
        raise UsageError("events and judged users would be the same: give --users")
    places = draw_places(users, movies, args.places, rng)
    vectors = movies.encode(places.histories)
    plain = known_lists(vectors, places, movies)
    lines = [["none", "", *in_the_list(plain, plain, places, movies)]]
    for name, scores in scored(args, vocabulary, movies, train, vectors, rng):
        best = best_new(scores, places, movies)
        among = (best == places.targets[:, None]).any(1)[places.new]
        lines.append(
            [
                name,
                share_of(among, places.users[places.new]),
                *in_the_list(with_places(plain, best, 1), plain, places, movies),
            ]
        )
    heads = ["rows of new movies", "among new", "new ones in the list", "all in the list", "- no place"]
    who = f"{who}, {len(movies.new):,} of {len(vocabulary):,} movies new, {len(places.targets):,} targets"
    return heading(len(users), who, args.seed) + "\n\n" + table(heads, lines)


def open_movies(args: argparse.Namespace, rng: np.random.Generator) -> tuple[NDArray[np.uint32], Movies]:
    """The movie ids of all items, and which of them the model knows."""
    known = known_movies(args.model)
    left_out = (args.data / leave_out.CATALOGUE).exists()
    vocabulary = leave_out.read(args.data).vocabulary if left_out else known
    number = numbers_in(known, vocabulary)
    model = open_encoder(args.model)
    if (number[1:] == 0).any():
        new = np.flatnonzero(number[1:] == 0).astype(np.int32) + 1
        return vocabulary, Movies(model, number, new)
    drawn = rng.permutation(len(vocabulary))[: round(args.hide * len(vocabulary))]
    new = np.sort(drawn).astype(np.int32) + 1
    hidden = number[new]
    number[new] = 0
    return vocabulary, Movies(model, number, new, hidden)


def draw_places(users: Histories, movies: Movies, most: int, rng: np.random.Generator) -> Places:
    """Places of each history that have five events before them, one of a known movie at least."""
    histories, targets, owners = [], [], []
    for user, history in enumerate(users):
        known = np.cumsum(movies.number[history] > 0)
        possible = np.arange(EARLIEST, len(history))
        possible = possible[known[possible - 1] > 0]
        for place in np.sort(rng.permutation(possible)[:most]):
            histories.append(history[:place])
            targets.append(history[place])
            owners.append(user)
    answers = np.array(targets, dtype=np.int32)
    return Places(histories, answers, np.isin(answers, movies.new), np.array(owners))


def known_lists(vectors: NDArray[np.float32], places: Places, movies: Movies) -> Ids:
    """The model's own best ten [targets, 10], in the catalogue's item numbers."""
    item = np.zeros(len(movies.model.vectors) + 1, dtype=np.int32)
    item[movies.number] = np.arange(len(movies.number))
    item[0] = 0
    hidden = np.flatnonzero(item[1:] == 0).astype(np.int32) + 1
    lists = []
    for begin in range(0, len(vectors), SCORED):
        some = slice(begin, begin + SCORED)
        seen = [np.union1d(movies.number[history], hidden) for history in places.histories[some]]
        seen = [numbers[numbers > 0] for numbers in seen]
        lists.append(metrics.top_items(vectors[some] @ movies.model.vectors.T, seen, LIST_LENGTH))
    return item[np.concatenate(lists)]


def best_new(scores: NDArray[np.floating], places: Places, movies: Movies) -> Ids:
    """The best ten new movies [targets, 10] by scores [targets, M], without those in the history."""
    column = np.zeros(len(movies.number), dtype=np.int32)
    column[movies.new] = np.arange(1, len(movies.new) + 1)
    seen = [columns[columns > 0] for columns in (column[history] for history in places.histories)]
    best = metrics.top_items(scores.astype(np.float32), seen, LIST_LENGTH)
    return np.concatenate([[0], movies.new])[best].astype(np.int32)


def scored(
    args: argparse.Namespace,
    vocabulary: NDArray[np.uint32],
    movies: Movies,
    train: Histories,
    vectors: NDArray[np.float32],
    rng: np.random.Generator,
) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Scores [targets, M] of the new movies, by where they come from."""
    yield "drawn by chance", rng.random((len(vectors), len(movies.new)), dtype=np.float32)
    events = np.bincount(train.items, minlength=len(vocabulary) + 1)[movies.new]
    yield "their popularity, not known yet", np.tile(events.astype(np.float32), (len(vectors), 1))
    said = said_of(args, vocabulary)
    known = np.flatnonzero(movies.number)
    rows = movies.model.vectors[movies.number[known] - 1]
    content = Content.fit([said[item - 1] for item in known], rows)
    start = content.predict([said[item - 1] for item in movies.new])
    yield "content", vectors @ start.T
    takers = draw_takers(train, movies, rng)
    counts = {f"after {n} event{'s' * (n > 1)}": np.minimum(n, events) for n in AFTER}
    counts[f"after {100 * SHARE:g}% of their events"] = np.ceil(SHARE * events).astype(np.int64)
    most = np.max(list(counts.values()), axis=0)
    taken = [movies.encode(each[:n]) for each, n in zip(takers, most, strict=True)]
    for name, wanted in counts.items():
        took = [some[:n].astype(np.float64) for some, n in zip(taken, wanted, strict=True)]
        number = np.array([len(some) for some in took])
        sums = np.stack([some.sum(0) for some in took])
        centre = sums.sum(0) / max(int(number.sum()), 1)
        yield name, vectors @ content.fold_in(start, sums, number, centre).T
    if movies.hidden is not None:
        yield "as trained, not known yet", vectors @ movies.model.vectors[movies.hidden - 1].T


def said_of(args: argparse.Namespace, vocabulary: NDArray[np.uint32]) -> list[frozenset[str]]:
    """What the catalogue says of every item, and the tags where they are asked for."""
    left_out = args.data / leave_out.CATALOGUE
    movies = catalogue.read_movies(left_out if left_out.exists() else args.data)
    return features_of(vocabulary, movies, catalogue.read_tags(args.data) if args.tags else {})


def draw_takers(train: Histories, movies: Movies, rng: np.random.Generator) -> list[list[Ids]]:
    """For each new movie what stood before it in the histories that have it, in random order."""
    takers: dict[int, list[Ids]] = {int(item): [] for item in movies.new}
    for user in rng.permutation(len(train)):
        history = train[int(user)]
        known = np.cumsum(movies.number[history] > 0)
        for place in np.flatnonzero(movies.number[history] == 0):
            if place and known[place - 1]:
                takers[int(history[place])].append(history[:place])
    return list(takers.values())


def in_the_list(lists: Ids, plain: Ids, places: Places, movies: Movies) -> list[str]:
    """R@10 of new movies and of all, and how much it is above that of the plain lists."""
    hits, before = ((some == places.targets[:, None]).any(1) for some in (lists, plain))
    gain = hits.astype(np.int64) - before
    return [
        share_of(hits[places.new], places.users[places.new]),
        share_of(hits, places.users),
        "" if lists is plain else f"{gain.mean():+.4f} +- {error(gain, places.users):.4f}",
    ]


def share_of(values: NDArray[np.generic], users: NDArray[np.int64]) -> str:
    """A mean with its standard error."""
    return f"{values.mean():.4f} +- {error(values, users):.4f}"


def error(values: NDArray[np.generic], users: NDArray[np.int64]) -> float:
    """The standard error of a mean over targets of which those of one user belong together."""
    apart = np.bincount(users, values - values.mean())
    return math.sqrt((apart**2).sum()) / len(values)
