"""How many of ten recommendations stay within a taste: five movies, and what counts as their kind.

`python -m marquee_onnx.tastes MODEL` prints the share of each line of `tastes.csv` and their mean. A movie is
within a taste when it has one of its genres, if any are named, and came out in its years, if any are named.
The lists are those of the model alone, over all that it knows beside the five. A movie of no year counts as
one of the year 0.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue, metrics
from marquee_onnx.catalogue import Movie
from marquee_onnx.data import Ids, numbers_in
from marquee_onnx.errors import DataError
from marquee_onnx.recommenders import Recommender, open_recommender, read_vocabulary
from marquee_onnx.text import open_text

FOLDER = Path(__file__).parent.parent
LIST_LENGTH = 10


@dataclass(frozen=True)
class Taste:
    """Movies that somebody liked, by MovieLens id, oldest first, and what else is of their kind."""

    name: str
    genres: frozenset[str]
    from_year: int
    to_year: int
    movies: NDArray[np.uint32]

    def holds(self, movie: Movie | None) -> bool:
        """Whether a movie is of this kind."""
        if movie is None or (self.genres and self.genres.isdisjoint(movie.genres)):
            return False
        return self.from_year <= movie.year <= self.to_year


def read_tastes(path: Path) -> list[Taste]:
    """The tastes of a file: name, genres between bars, first and last year, movie ids between spaces."""
    with open_text(path) as lines:
        return [
            Taste(
                row["taste"],
                frozenset(filter(None, row["genres"].split("|"))),
                int(row["from_year"] or 0),
                int(row["to_year"] or 9999),
                np.array(row["movie_ids"].split(), np.uint32),
            )
            for row in csv.DictReader(lines)
        ]


def shares(
    recommender: Recommender,
    vocabulary: NDArray[np.uint32],
    tastes: Sequence[Taste],
    movies: Mapping[int, Movie],
) -> list[float]:
    """Of each taste the share of the ten best that it holds."""
    histories: list[Ids] = []
    for taste in tastes:
        numbers = numbers_in(vocabulary, taste.movies)
        if not numbers.any():
            raise DataError(f"the model knows no movie of the taste {taste.name!r}")
        histories.append(numbers[numbers > 0])
    best = metrics.top_items(recommender.scores(histories), histories, LIST_LENGTH)
    return [
        float(np.mean([taste.holds(movies.get(int(vocabulary[item - 1]))) for item in items]))
        for taste, items in zip(tastes, best, strict=True)
    ]


def main() -> int:
    """Parse the command line and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a run folder or a bundle")
    parser.add_argument("--tastes", type=Path, default=FOLDER / "tastes.csv")
    parser.add_argument(
        "--data", type=Path, default=FOLDER / "data/ml-latest-small", help="says what movies are"
    )
    args = parser.parse_args()
    vocabulary = read_vocabulary(args.model)
    if vocabulary is None:
        raise DataError(f"{args.model} does not say which movie is which item")
    tastes = read_tastes(args.tastes)
    recommender = open_recommender(str(args.model), None, len(vocabulary), "fp32")
    movies = catalogue.read_movies(args.data)
    within = shares(recommender, vocabulary, tastes, movies)
    for taste, share in zip(tastes, within, strict=True):
        print(f"{share:.1f}  {taste.name}")
    print(f"{np.mean(within):.3f}  mean of {len(tastes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
