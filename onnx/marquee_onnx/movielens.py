"""MovieLens folders of every generation as compact histories, and the ways to split them.

ML-32M has 32 million ratings; columns of 4 and 8 bytes keep its preparation below 6 GiB. Ratings count as
interactions whatever their stars. Events are ordered by (time, movie id), as everywhere in Marquee: a fifth
of MovieLens' events share a timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marquee_onnx import catalogue
from marquee_onnx.data import Histories, Ids, Moments, Split
from marquee_onnx.errors import DataError
from marquee_onnx.ratings import read_events


@dataclass(frozen=True)
class Ratings:
    """Histories of item numbers with the time of every event, in seconds, and the MovieLens ids."""

    histories: Histories
    times: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]

    def moments(self, events: NDArray[np.int64]) -> Moments:
        """When the given events happened, each of which has one of the same user before it."""
        return Moments(self.times[events], self.times[events] - self.times[events - 1])

    def same_second(self) -> float | None:
        """The share of events at the time of the user's event before, of those that have one before."""
        later = np.ones(len(self.times), dtype=np.bool_)
        later[self.histories.offsets[:-1]] = False
        events = np.flatnonzero(later)
        return float((self.moments(events).gaps == 0).mean()) if len(events) else None


def read_ratings(
    folder: Path, minimum_user: int = 1, minimum_movie: int = 1, every_movie: bool = False
) -> Ratings:
    """Read a MovieLens folder; movies are numbered from 1 by ascending MovieLens id.

    Movies with fewer than `minimum_movie` ratings go first, then users with fewer than `minimum_user` of
    what is left. `every_movie` numbers all movies of the folder's catalogue, the unrated ones too.
    """
    frame = read_events(folder)
    if minimum_movie > 1:
        frame = frame.filter(pl.len().over("movie") >= minimum_movie)
    if minimum_user > 1:
        frame = frame.filter(pl.len().over("user") >= minimum_user)
    if frame.is_empty():
        raise DataError(f"no rating of {folder} is left by the minimum counts; lower them")
    frame = frame.sort("user", "time", "movie")
    rated = frame["movie"].unique().sort().to_numpy()
    movies = np.union1d(rated, catalogue_ids(folder)) if every_movie else rated
    items = (np.searchsorted(movies, frame["movie"].to_numpy()) + 1).astype(np.int32)
    lengths = frame["user"].rle().struct.field("len").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Ratings(Histories(items, offsets), frame["time"].to_numpy(), movies.astype(np.uint32))


def catalogue_ids(folder: Path) -> NDArray[np.uint32]:
    """The MovieLens ids of the folder's catalogue."""
    if catalogue.find_catalogue(folder) is None:
        raise DataError(f"{folder} lists no movies; train with --vocabulary rated")
    return np.array(sorted(catalogue.read_movies(folder)), dtype=np.uint32)


def leave_one_out(ratings: Ratings) -> Split:
    """Hold back the newest item of every user who has another one."""
    histories = ratings.histories
    users = np.flatnonzero(histories.lengths >= 2)
    newest = histories.offsets[1:][users] - 1
    inputs = histories.select(users).without_last()
    return Split(inputs, inputs, histories.items[newest], ratings.moments(newest))


def global_time(ratings: Ratings, fraction: float) -> Split:
    """Train on the oldest `fraction` of all events, and judge as a live system is: by what came later.

    Of every user with later events one is judged, drawn by chance but the same every time, after all that the
    user had before it: what came after the cut is known then, if not to the model. Users who were not there
    before the cut are judged too, from their second event on.
    """
    histories = ratings.histories
    cut = np.quantile(ratings.times, fraction, method="lower")
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    before = np.bincount(users[ratings.times <= cut], minlength=len(histories))
    earliest = np.maximum(before, 1)
    judged = np.flatnonzero(earliest < histories.lengths)
    places = np.random.default_rng(0).integers(earliest[judged], histories.lengths[judged])
    targets: Ids = histories.items[histories.offsets[judged] + places]
    inputs = histories.select(judged).take(places)
    return Split(histories.take(before), inputs, targets, ratings.moments(histories.offsets[judged] + places))
