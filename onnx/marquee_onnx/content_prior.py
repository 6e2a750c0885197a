"""Rows of rare movies lean on what the catalogue says of them.

A movie with few events has a row that its training hardly moved. Another row is predicted from genres, tags,
years and the words of the title, by the regression of `new_movies.py` over the movies with `KNOWN_FROM`
events or more, and counts as much as so many events, the prior:

    row = (events * trained + prior * predicted) / (events + prior)

Both tables lean so: a movie is then known as what a user took, and recommended, for what it is. As what a
user took the prior counts `TAKEN` times: a row that says nothing spoils a whole list there, here one place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue
from marquee_onnx.errors import DataError
from marquee_onnx.new_movies import Content, features_of
from marquee_onnx.rerank import Floats

KNOWN_FROM = 20
FEWEST_KNOWN = 100
TAKEN = 2.0
WORD = re.compile(r"\w{3,}")
BRACKETS = re.compile(r"\([^)]*\)")
COMMON = frozenset({"the", "and"})

Rows = NDArray[np.float32]


def said_of(folder: Path, vocabulary: NDArray[np.uint32]) -> list[frozenset[str]]:
    """What the catalogue of a data folder says of every item, tags included where it has them.

    Raises `DataError` where it lists no movies.
    """
    listed = catalogue.find_catalogue(folder)
    if listed is None:
        raise DataError(f"{folder} lists no movies for rare ones to lean on; train with --content-prior 0")
    movies = catalogue.read_movies(listed)
    tags = catalogue.read_tags(folder) if (folder / "tags.csv").exists() else {}
    said = features_of(vocabulary, movies, tags)
    titles = (movies[number].title if number in movies else "" for number in vocabulary.tolist())
    return [features | words_of(title) for features, title in zip(said, titles, strict=True)]


def words_of(title: str) -> frozenset[str]:
    """The words of a title of three letters and more, without what stands in brackets."""
    words = WORD.findall(BRACKETS.sub("", title).casefold())
    return frozenset(f"word {word}" for word in words if word not in COMMON)


def lean(rows: Rows, events: NDArray[np.int64], said: Sequence[frozenset[str]], prior: float) -> Rows:
    """The rows [N, d] of items with so many training events [N], of which the catalogue says this.

    Raises `DataError` where too few items have events enough to predict rows from.
    """
    known = np.flatnonzero(events >= KNOWN_FROM)
    if len(known) < FEWEST_KNOWN:
        raise DataError(
            f"movies with {KNOWN_FROM} events or more: {len(known)}; to lean on the catalogue takes "
            f"{FEWEST_KNOWN}: train with --content-prior 0"
        )
    share = (events / (events + prior))[:, None]
    return np.asarray(share * rows + (1 - share) * predict(rows, known, said), np.float32)


def predict(rows: Rows, known: NDArray[np.generic], said: Sequence[frozenset[str]]) -> Floats:
    """The rows [N, d] that those of the `known`, places or a mask, predict from what is said of all items."""
    places = np.arange(len(rows))[known]
    return Content.fit([said[place] for place in places.tolist()], rows[places]).predict(said)
