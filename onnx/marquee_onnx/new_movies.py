"""Rows of movies that the model was not trained on: the reference of the arithmetic.

A row is predicted from what the catalogue says, by ridge regression of the known movies' output rows Y on the
features of `features`, X, each 1 or 0. Both are centred on their means over the known movies:

    content = mean row + (x - mean x) (X'X + penalty I)^-1 X'Y

Each event moves the row towards the vector of the user who took the movie, as it was before the event, and
away from `centre`, the mean of all vectors that took new movies so far: what all of them share says nothing
about one of them. The step is the longer the more the known movies' rows differ from their predictions in
that direction, R being the covariance of these differences:

    row after n events = content + R (sum of the n vectors - n centre) * fading / (fading + n)

Until the next training, new movies get places of their own in a list: their scores are not those of trained
rows, and mixed in by score they would hardly ever be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.catalogue import Movie
from marquee_onnx.data import Ids
from marquee_onnx.rerank import Floats

PENALTY, FADING = 30.0, 10.0
SPAN = 5
FEWEST = 2


def features(movie: Movie, tags: Iterable[str] = ()) -> frozenset[str]:
    """What is said of a movie: genres, pairs of genres, five years and tags, without regard to case."""
    genres = sorted(name.casefold() for name in movie.genres)
    said = {f"genre {name}" for name in genres}
    said |= {f"genres {first} and {second}" for first, second in combinations(genres, 2)}
    said |= {f"tag {' '.join(tag.casefold().split())}" for tag in tags}
    if movie.year:
        said.add(f"years from {movie.year - movie.year % SPAN}")
    return frozenset(said)


def features_of(
    vocabulary: NDArray[np.uint32], movies: Mapping[int, Movie], tags: Mapping[int, Iterable[str]]
) -> list[frozenset[str]]:
    """What is said of every item of a vocabulary; nothing of a movie that the catalogue does not list."""
    nobody = Movie("", 0, ())
    return [features(movies.get(id, nobody), tags.get(id, ())) for id in vocabulary.tolist()]


@dataclass(frozen=True)
class Content:
    """A fitted prediction of rows from features.

    `names` are those of the F columns and `means` theirs over the known movies; `slopes` is [F, d],
    `mean_row` [d] and `covariance` [d, d] that of the known movies' rows about their predictions.
    """

    names: tuple[str, ...]
    means: Floats
    slopes: Floats
    mean_row: Floats
    covariance: Floats

    @classmethod
    def fit(
        cls,
        known: Sequence[frozenset[str]],
        rows: NDArray[np.floating],
        penalty: float = PENALTY,
        fewest: int = FEWEST,
    ) -> Content:
        """Fit to the known movies' features and rows [K, d]; a feature of fewer than `fewest` is left out."""
        found, counts = np.unique([name for said in known for name in said], return_counts=True)
        names = tuple(found[counts >= fewest].tolist())
        table = indicators(known, names)
        means, mean_row = table.mean(0), rows.mean(0, dtype=np.float64)
        x, y = table - means, rows - mean_row
        slopes = np.linalg.solve(x.T @ x + penalty * np.eye(len(names)), x.T @ y)
        rest = y - x @ slopes
        return cls(names, means, slopes, mean_row, rest.T @ rest / len(rows))

    def predict(self, movies: Sequence[frozenset[str]]) -> Floats:
        """The rows [M, d] of movies with these features; features that no known movie had say nothing."""
        return self.mean_row + (indicators(movies, self.names) - self.means) @ self.slopes

    def fold_in(self, rows: Floats, users: Floats, events: NDArray[np.integer], centre: Floats) -> Floats:
        """Content rows [M, d] after `events` [M], whose users' vectors sum up to `users` [M, d]."""
        away = users - events[:, None] * centre
        return rows + (away @ self.covariance) * (FADING / (FADING + events))[:, None]


def indicators(movies: Sequence[frozenset[str]], names: Sequence[str]) -> Floats:
    """Which of the named features each movie has, [M, F]."""
    column = {name: place for place, name in enumerate(names)}
    table = np.zeros((len(movies), len(names)))
    for row, said in enumerate(movies):
        table[row, [column[name] for name in said if name in column]] = 1.0
    return table


def with_places(known: Ids, new: Ids, places: int) -> Ids:
    """Lists [users, k] of known movies whose last `places` places are given to the best new ones."""
    return np.concatenate([known[:, : known.shape[1] - places], new[:, :places]], axis=1)
