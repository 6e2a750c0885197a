"""Generate a folder of MovieLens' form and ML-32M's shape, for measuring preparation and training steps.

`python -m marquee_onnx.synthetic FOLDER` writes ratings.csv and movies.csv. Only the shape is like the real
thing: 200,948 users with 20 ratings or more (19 + LogNormal(3.93, 1.42) of them), 84,432 movies of 87,585
with popularities of which half are below 5, and a fifth of a user's events at the time of the one before.

Which movie follows which is chance, so that a model learns no more than popularity, unless `--tastes` parts
the movies: then users stay for a while with one of their tastes, and often take the movie that stands next to
the one before. Histories are shorter and popularities flatter so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

USERS, MOVIES, RATED = 200_948, 87_585, 84_432
FIRST, LAST = 789_652_004, 1_697_164_147  # 1995-01-09 and 2023-10-13, in seconds
SAME_TIME = 0.19
DRAWS = 1.27  # for each event kept: drawing with replacement repeats movies within a user
TASTES_OF_A_USER = 12
TURNS, FOLLOWS = 0.2, 0.3  # shares of events: to another taste, and to the movie next to the one before


def ratings(users: int, rated: int, seed: int, tastes: int = 0) -> pl.DataFrame:
    """Ratings of `users` users over the movies 1..`rated`, no movie twice for one user.

    With `tastes` the movies of a user follow from one another, else each is drawn by its popularity alone.
    """
    rng = np.random.default_rng(seed)
    counts = (19 + rng.lognormal(3.93, 1.42, users)).astype(np.int64).clip(20, rated // 4)
    weights = rng.lognormal(np.log(5), 2.94, rated).clip(1, 100_000)
    cumulative = np.cumsum(weights / weights.sum())
    counts = (counts * DRAWS).astype(np.int64)
    user = np.repeat(np.arange(1, users + 1, dtype=np.int32), counts)
    movie = (
        walk(rng, counts, cumulative, tastes)
        if tastes
        else np.searchsorted(cumulative, rng.random(len(user)), side="right").clip(max=rated - 1)
    )
    movie[rng.choice(len(movie), rated, replace=False)] = np.arange(rated)  # each at least once
    gaps = np.where(rng.random(len(user)) < SAME_TIME, 0, rng.exponential(600, len(user))).astype(np.int64)
    begins = np.cumsum(counts) - counts
    since = np.cumsum(gaps)
    start = rng.integers(FIRST, LAST - 10_000_000, users)
    time = start[user - 1] + since - since[begins][user - 1]
    frame = pl.DataFrame(
        {
            "userId": user,
            "movieId": (movie + 1).astype(np.int32),
            "rating": (rng.integers(1, 11, len(user)) / 2).astype(np.float32),
            "timestamp": time,
        }
    )
    return frame.unique(["userId", "movieId"], keep="first", maintain_order=True)


def walk(
    rng: np.random.Generator, counts: NDArray[np.int64], cumulative: NDArray[np.float64], tastes: int
) -> NDArray[np.int64]:
    """Movies, from 0, of users with so many events each, user after user.

    A taste is a stretch of neighbouring movies. A user has a few, by popularity, and an event goes to another
    of them, to a movie of the same one by popularity, or to the neighbour of the event before.
    """
    events, below = int(counts.sum()), np.concatenate([[0.0], cumulative])
    edges = np.linspace(0, len(cumulative), tastes + 1).astype(np.int64)
    number = np.arange(events)
    kind = rng.random(events)
    kind[np.cumsum(counts) - counts] = 0.0  # nobody's first event follows another one

    def since(begins: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.maximum.accumulate(np.where(begins, number, 0))

    drawn = np.searchsorted(cumulative, rng.random((len(counts), TASTES_OF_A_USER)), side="right")
    own = np.searchsorted(edges, drawn.clip(max=len(cumulative) - 1), side="right") - 1
    turned = own[np.repeat(np.arange(len(counts)), counts), rng.integers(0, TASTES_OF_A_USER, events)]
    taste = turned[since(kind < TURNS)]
    first, behind = edges[taste], edges[taste + 1]
    share = below[first] + rng.random(events) * (below[behind] - below[first])
    movie = (np.searchsorted(below, share, side="right") - 1).clip(first, behind - 1)
    left = since(kind < 1 - FOLLOWS)
    return first + (movie[left] - first + number - left) % (behind - first)


def main() -> int:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--movies", type=int, default=MOVIES)
    parser.add_argument("--rated", type=int, default=RATED)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tastes", type=int, default=0, help="how many there are; 0 is no structure")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    frame = ratings(args.users, args.rated, args.seed, args.tastes)
    frame.write_csv(args.folder / "ratings.csv")
    ids = np.arange(1, args.movies + 1)
    movies = pl.DataFrame({"movieId": ids, "title": [f"Movie {id} (2000)" for id in ids], "genres": "Drama"})
    movies.write_csv(args.folder / "movies.csv")
    print(f"{frame.height:,} ratings, {frame['movieId'].n_unique():,} movies rated, {args.users:,} users")
    return 0


if __name__ == "__main__":
    sys.exit(main())
