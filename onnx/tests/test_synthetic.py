"""Generated ratings have the shape that they say, and with tastes an order that can be learnt."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("polars")
from marquee_onnx.synthetic import FOLLOWS, ratings

RATED = 2000


def neighbours(tastes: int) -> float:
    """The share of events that are of the movie next to the one before."""
    frame = ratings(300, RATED, seed=1, tastes=tastes)
    movie, user = frame["movieId"].to_numpy(), frame["userId"].to_numpy()
    return float(np.mean((np.diff(movie) == 1)[np.diff(user) == 0]))


@pytest.mark.parametrize("tastes", [0, 10])
def test_every_movie_is_rated_and_none_twice_by_a_user(tastes):
    frame = ratings(300, RATED, seed=1, tastes=tastes)
    assert frame["movieId"].n_unique() == RATED
    assert frame["movieId"].min() == 1
    assert frame["movieId"].max() == RATED
    assert not frame.select("userId", "movieId").is_duplicated().any()


def test_a_seed_gives_the_same_ratings():
    assert ratings(50, RATED, seed=3, tastes=10).equals(ratings(50, RATED, seed=3, tastes=10))


def test_with_tastes_movies_follow_their_neighbours():
    assert neighbours(tastes=0) < 0.02
    assert neighbours(tastes=10) > FOLLOWS / 2
