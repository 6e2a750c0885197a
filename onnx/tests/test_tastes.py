"""The share of a list that is within a taste."""

from __future__ import annotations

import numpy as np
import pytest

from marquee_onnx import tastes
from marquee_onnx.catalogue import Movie
from marquee_onnx.errors import DataError

MOVIES = {
    10: Movie("Liked", 1980, ("Western",)),
    20: Movie("Within", 1990, ("Drama", "Western")),
    30: Movie("Of another genre", 1990, ("Drama",)),
    40: Movie("Too late", 2001, ("Western",)),
}


class Best:
    """Recommends items in their order, whatever the history."""

    items = 11
    vectors = None

    def scores(self, histories):
        return np.tile(-np.arange(11, dtype=np.float32), (len(histories), 1))


def western(*movies: int) -> tastes.Taste:
    return tastes.Taste("Westerns", frozenset({"Western"}), 0, 2000, np.array(movies, np.uint32))


def test_genre_and_year_decide_what_is_within_a_taste_and_the_liked_are_left_out():
    vocabulary = np.arange(10, 120, 10, dtype=np.uint32)
    (share,) = tastes.shares(Best(), vocabulary, [western(10, 99)], MOVIES)
    assert share == pytest.approx(1 / 10)


def test_a_taste_of_which_the_model_knows_nothing_is_refused():
    with pytest.raises(DataError, match="no movie of the taste 'Westerns'"):
        tastes.shares(Best(), np.array([20, 30, 40, 50, 60], np.uint32), [western(10)], MOVIES)


def test_the_tastes_of_the_project_are_25_of_five_movies():
    read = tastes.read_tastes(tastes.FOLDER / "tastes.csv")
    assert [len(taste.movies) for taste in read] == [5] * 25
    assert len({taste.name for taste in read}) == 25


def test_the_command_prints_a_line_a_taste_and_the_mean(capsys, monkeypatch):
    bundled = tastes.FOLDER / "bundles" / "movielens-small"
    monkeypatch.setattr("sys.argv", ["tastes", str(bundled)])
    assert tastes.main() == 0
    *lines, mean = capsys.readouterr().out.splitlines()
    assert len(lines) == 25
    assert mean.endswith("mean of 25")
    assert float(mean.split()[0]) == pytest.approx(
        np.mean([float(line.split()[0]) for line in lines]), abs=1e-3
    )
