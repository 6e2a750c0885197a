"""Titles, years and genres of movies, from a split's items.tsv or a MovieLens folder's movies.csv."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import DataError

YEAR = re.compile(r"\((\d{4})[^()]*\)\s*$")
NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class Movie:
    """What a catalogue says of a movie; year 0 where the title has none."""

    title: str
    year: int
    genres: tuple[str, ...]


def read_movies(path: Path) -> dict[int, Movie]:
    """Movies by MovieLens id, from items.tsv, movies.csv, or a folder that holds either."""
    if path.is_dir():
        found = [path / name for name in ("items.tsv", "movies.csv") if (path / name).exists()]
        if not found:
            raise DataError(f"{path} has neither items.tsv nor movies.csv")
        path = found[0]
    tabs = path.suffix == ".tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(
            file, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        )
        missing = {"movieId", "title", "genres"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path} has no column {', '.join(sorted(missing))}; name its columns so")
        return {int(row["movieId"]): movie(row) for row in rows}


def movie(row: dict[str, str]) -> Movie:
    """A movie from one row of either file."""
    stated = YEAR.search(row["title"])
    year = int(row.get("year") or (stated[1] if stated else 0))
    genres = tuple(name for name in row["genres"].split("|") if name and name != NO_GENRES)
    return Movie(row["title"], year, genres)


def years(movies: dict[int, Movie], vocabulary: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Release years [N + 1] by item number; 0 where unknown."""
    known = [movies[int(id)].year if int(id) in movies else 0 for id in vocabulary]
    return np.array([0, *known], dtype=np.int64)


def genres(movies: dict[int, Movie], vocabulary: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Genre membership [N + 1, G] by item number."""
    names = sorted({name for movie in movies.values() for name in movie.genres})
    column = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(vocabulary) + 1, len(names)), dtype=np.bool_)
    for item, id in enumerate(vocabulary, start=1):
        if int(id) in movies:
            table[item, [column[name] for name in movies[int(id)].genres]] = True
    return table
