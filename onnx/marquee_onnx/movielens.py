"""MovieLens folders of every generation, read with polars into compact histories.

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

from marquee_onnx.data import DataError, Histories, Ids, Split

COLUMNS = ("user", "movie", "time")


@dataclass(frozen=True)
class Ratings:
    """Histories of item numbers with the time of every event, in seconds, and the MovieLens ids."""

    histories: Histories
    times: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]


def scan_ratings(folder: Path) -> pl.LazyFrame:
    """User, movie and time of every rating in `ratings.csv`, `ratings.dat` or `u.data`."""
    types = [pl.Int32, pl.Int32, pl.Int64]
    if (folder / "ratings.csv").exists():
        frame = pl.scan_csv(folder / "ratings.csv")
        columns = [pl.col(name) for name in ("userId", "movieId", "timestamp")]
    elif (folder / "ratings.dat").exists():  # user::movie::rating::time, every second column empty
        frame = pl.scan_csv(folder / "ratings.dat", separator=":", has_header=False)
        columns = [pl.nth(index) for index in (0, 2, 6)]
    elif (folder / "u.data").exists():
        frame = pl.scan_csv(folder / "u.data", separator="\t", has_header=False)
        columns = [pl.nth(index) for index in (0, 1, 3)]
    else:
        raise DataError(
            f"{folder} has no ratings.csv, ratings.dat, u.data or train.txt; name a MovieLens folder or a "
            "prepared split"
        )
    return frame.select(
        column.cast(kind).alias(name) for column, kind, name in zip(columns, types, COLUMNS, strict=True)
    )


def read_ratings(
    folder: Path, minimum_user: int = 1, minimum_movie: int = 1, catalogue: bool = False
) -> Ratings:
    """Read a MovieLens folder; movies are numbered from 1 by ascending MovieLens id.

    Movies with fewer than `minimum_movie` ratings go first, then users with fewer than `minimum_user` of
    what is left. `catalogue` numbers every movie of movies.csv, the unrated ones too.
    """
    frame = scan_ratings(folder).collect(engine="streaming")
    if minimum_movie > 1:
        frame = frame.filter(pl.len().over("movie") >= minimum_movie)
    if minimum_user > 1:
        frame = frame.filter(pl.len().over("user") >= minimum_user)
    if frame.is_empty():
        raise DataError(f"no rating of {folder} is left by the minimum counts; lower them")
    frame = frame.sort("user", "time", "movie")
    rated = frame["movie"].unique().sort().to_numpy()
    movies = np.union1d(rated, catalogue_ids(folder)) if catalogue else rated
    items = (np.searchsorted(movies, frame["movie"].to_numpy()) + 1).astype(np.int32)
    lengths = frame["user"].rle().struct.field("len").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Ratings(Histories(items, offsets), frame["time"].to_numpy(), movies.astype(np.uint32))


def catalogue_ids(folder: Path) -> NDArray[np.int32]:
    """The MovieLens ids of `movies.csv`."""
    path = folder / "movies.csv"
    if not path.exists():
        raise DataError(f"{folder} has no movies.csv; train with --vocabulary rated")
    return pl.scan_csv(path).select(pl.col("movieId").cast(pl.Int32)).collect()["movieId"].to_numpy()


def leave_one_out(histories: Histories) -> Split:
    """Hold back the newest item of every user who has another one."""
    kept = histories.select(np.flatnonzero(histories.lengths >= 2))
    inputs = kept.without_last()
    return Split(inputs, inputs, kept.items[kept.offsets[1:] - 1])


def global_time(ratings: Ratings, fraction: float) -> Split:
    """Train on the oldest `fraction` of all events; judge the first later item of who was there before."""
    cut = np.quantile(ratings.times, fraction, method="lower")
    users = np.repeat(np.arange(len(ratings.histories)), ratings.histories.lengths)
    before = np.bincount(users[ratings.times <= cut], minlength=len(ratings.histories))
    train = ratings.histories.take(before)
    judged = np.flatnonzero((before > 0) & (before < ratings.histories.lengths))
    targets: Ids = ratings.histories.items[ratings.histories.offsets[judged] + before[judged]]
    return Split(train, train.select(judged), targets)
