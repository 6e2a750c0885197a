"""What the files of the command line say of the items, and whether that is enough for an objective."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue
from marquee_onnx.errors import DataError
from marquee_onnx.judged import Judged
from marquee_onnx.objectives import Objectives
from marquee_onnx.recommenders import Recommender
from marquee_onnx.rerank import Floats, Items

RATINGS_OF_PRIOR = 10


def describe_items(
    recommender: Recommender, judged: Judged, args: argparse.Namespace, objectives: Objectives
) -> tuple[Items, frozenset[str]]:
    """What the files say of the items, and the names of what they do say; the rest is zeros."""
    rows = recommender.items + 1
    known = set()
    vectors, genres = np.zeros((rows, 1), dtype=np.float32), np.zeros((rows, 1), dtype=np.bool_)
    popularity, years, ratings = np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows)
    if recommender.vectors is not None:
        known.add("vectors")
        vectors = np.pad(recommender.vectors, ((1, 0), (0, 0)))
    if judged.train is not None:
        known.add("popularity")
        popularity = np.bincount(judged.train.items, minlength=rows)[:rows]
    path = args.items or (args.data and catalogue.find_catalogue(args.data))
    if path is not None and judged.vocabulary is not None:
        movies = catalogue.read_movies(path)
        genres, years = (
            catalogue.genres(movies, judged.vocabulary),
            catalogue.years(movies, judged.vocabulary),
        )
        known |= {"years"} | ({"genres"} if genres.any() else set())
    if objectives.rating_weight and judged.vocabulary is not None and args.data is not None:
        ratings = mean_stars(args.data, judged.vocabulary)
        known.add("ratings")
    return Items.of(vectors, genres, popularity, years, ratings), frozenset(known)


def mean_stars(folder: Path, vocabulary: NDArray[np.uint32]) -> Floats:
    """Every item's mean stars [N + 1], as if ten ratings more had given the mean of all ratings."""
    from marquee_onnx.ratings import read_stars

    stars = read_stars(folder)
    count, total = np.zeros(len(vocabulary) + 1), np.zeros(len(vocabulary) + 1)
    place = {int(movie): item for item, movie in enumerate(vocabulary, 1)}
    for movie, number, sum_ in stars.select("movie", "count", "sum").iter_rows():
        if movie in place:
            count[place[movie]], total[place[movie]] = number, sum_
    overall = total.sum() / max(count.sum(), 1)
    return (total + RATINGS_OF_PRIOR * overall) / (count + RATINGS_OF_PRIOR)


NEEDS = {
    "calibration": ("genres", "a catalogue with genres: give --items or --data"),
    "max_per_genre": ("genres", "a catalogue with genres: give --items or --data"),
    "popularity_weight": ("popularity", "training sequences: give --train or --data"),
    "freshness_weight": ("years", "years of release: give --items or --data"),
    "rating_weight": ("ratings", "stars: give the --data of a MovieLens folder"),
}


def check_known(objectives: Objectives, known: frozenset[str]) -> None:
    """Whether the data says what these objectives look at."""
    said = objectives.said()
    for name, (needed, advice) in NEEDS.items():
        if name in said and needed not in known:
            raise DataError(f"--{name.replace('_', '-')} needs {advice}")
    if "diversity" in said and not known & {"vectors", "genres"}:
        raise DataError("--diversity needs vectors of items or their genres: give --items or --data")
