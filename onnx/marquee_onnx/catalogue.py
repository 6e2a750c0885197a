"""Titles, years and genres of movies, from a split's items.tsv or the movies of any MovieLens release.

The releases of 1M and 100K are in Latin-1; that of 10M, under the same names as 1M, and all later ones are in
UTF-8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import movie_id, number_from_1
from marquee_onnx.errors import DataError
from marquee_onnx.text import open_text

YEAR = re.compile(r"\(\s*([0-9]{4})\s*(?=[-–—/)]|$)")  # "(1995)", "(2006-2007)" and "(2014/II)"
YEARS = range(1870, 2201)
NO_GENRES = "(no genres listed)"
FLAGGED_GENRES = (  # of u.item, in the order of its flags; the first one is "unknown"
    *("", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
FIRST_FLAG = 5


@dataclass(frozen=True)
class Movie:
    """What a catalogue says of a movie; year 0 where the title has none."""

    title: str
    year: int
    genres: tuple[str, ...]


def find_catalogue(folder: Path) -> Path | None:
    """The file of a folder that lists its movies, or None."""
    candidates = (folder / name for name in READERS)
    return next((path for path in candidates if path.exists()), None)


def read_movies(path: Path) -> dict[int, Movie]:
    """Movies by MovieLens id, from a file of `READERS` or a folder that holds one."""
    found = find_catalogue(path) if path.is_dir() else path
    if found is None:
        raise DataError(f"{path} has none of {', '.join(READERS)}")
    reader = READERS.get(found.name, read_tabs if found.suffix == ".tsv" else read_commas)
    return dict(reader(found))


def read_commas(path: Path) -> Iterator[tuple[int, Movie]]:
    """Rows of `movies.csv`, or of any file with its columns."""
    with open_text(path) as file:
        yield from read_columns(path, csv.DictReader(file, strict=True))


def read_tabs(path: Path) -> Iterator[tuple[int, Movie]]:
    """Rows of `items.tsv`."""
    with open_text(path) as file:
        yield from read_columns(path, csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_columns(path: Path, rows: csv.DictReader[str]) -> Iterator[tuple[int, Movie]]:
    """Rows of a file with a header."""
    try:
        missing = {"movieId", "title"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path} has no column {', '.join(sorted(missing))}; its first line names them")
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            fields = [value for name, value in row.items() if name is not None]
            if None in row or None in fields:
                raise DataError(f"{place}: {len(rows.fieldnames or ())} fields are expected; quote commas")
            title, genres = row["title"], (row.get("genres") or "").split("|")
            yield movie_id(row["movieId"], place), movie(title, genres, row.get("year") or "")
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}; mend the row") from error


def read_colons(path: Path) -> Iterator[tuple[int, Movie]]:
    """Rows of `movies.dat`: id::title::genres."""
    for place, fields in old_rows(path, "::", least=3):
        yield movie_id(fields[0], place), movie("::".join(fields[1:-1]), fields[-1].split("|"))


def read_pipes(path: Path) -> Iterator[tuple[int, Movie]]:
    """Rows of `u.item`: id|title|two dates|address|19 flags."""
    for place, fields in old_rows(path, "|", least=FIRST_FLAG + len(FLAGGED_GENRES)):
        flags = zip(FLAGGED_GENRES, fields[FIRST_FLAG:], strict=False)
        yield movie_id(fields[0], place), movie(fields[1], [name for name, flag in flags if flag == "1"])


def old_rows(path: Path, separator: str, least: int) -> Iterator[tuple[str, list[str]]]:
    """The place and the fields of every line of a file of an old release that is not blank."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for number, line in enumerate(io.StringIO(text), 1):
        fields, place = line.rstrip("\r\n").split(separator), f"{path}, line {number}"
        if line.strip() and len(fields) < least:
            raise DataError(f"{place}: {least} fields are expected, separated by {separator}")
        if line.strip():
            yield place, fields


READERS: Mapping[str, Callable[[Path], Iterator[tuple[int, Movie]]]] = {
    "items.tsv": read_tabs,
    "movies.csv": read_commas,
    "movies.dat": read_colons,
    "u.item": read_pipes,
}


def movie(title: str, genres: Iterable[str], year: str = "") -> Movie:
    """A movie of this title; the year is the one that the title names unless another is given."""
    stated = number_from_1(year, YEARS[-1]) or 0
    number = stated if stated in YEARS else year_of(title)
    names: dict[str, str] = {}  # each once without regard to case, as the server's import has them
    for name in map(str.strip, genres):
        if name and name != NO_GENRES:
            names.setdefault(name.casefold(), name)
    return Movie(title, number, tuple(names.values()))


def read_tags(folder: Path) -> dict[int, set[str]]:
    """The tags that people gave each movie, by MovieLens id, from the folder's tags.csv."""
    path = folder / "tags.csv"
    if not path.exists():
        raise DataError(f"{folder} has no tags.csv; only later releases have one")
    tags: dict[int, set[str]] = {}
    try:
        with open_text(path) as file:
            for row in csv.DictReader(file, strict=True):
                tags.setdefault(movie_id(row["movieId"], str(path)), set()).add(row["tag"])
    except (csv.Error, KeyError) as error:
        raise DataError(f"{path} has no columns movieId and tag, or a damaged row: {error}") from error
    return tags


def year_of(title: str) -> int:
    """The year in the last brackets that hold one, the first of a range; 0 where no brackets do."""
    stated = [int(year) for year in YEAR.findall(title)]
    return next((year for year in reversed(stated) if year in YEARS), 0)


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
