"""The ratings of a MovieLens release of any generation, as columns of users, movies and times.

polars reads all rows at once and says little of a wrong one. So a file that it refuses, or of which it cannot
make numbers, is read again line by line up to the first row that is wrong.
"""

from __future__ import annotations

import csv
import re
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from marquee_onnx.data import LARGEST_ID
from marquee_onnx.errors import DataError
from marquee_onnx.text import open_text

LARGEST_USER = (1 << 64) - 1
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?", re.IGNORECASE)
DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z?")
FILES_BEGAN = 315_532_800  # 1980-01-01: a time that would be later in another unit is in that unit
CLOCK_SKEW = 86_400  # seconds; as the server's import believes times
OTHER_UNITS = {"milliseconds": 1000, "microseconds": 1_000_000}


@dataclass(frozen=True)
class Form:
    """A file of ratings: what separates its fields, and where user, movie and time stand.

    `names` are those columns in a file with a header; `stars` is where the rating itself stands, or its name.
    """

    file: str
    separator: str
    places: tuple[int, int, int] = (0, 1, 3)
    names: tuple[str, str, str] | None = None
    stars: int | str = 2

    def scan(self, path: Path) -> pl.LazyFrame:
        """Every row's fields as text; polars separates by one byte, so `::` leaves empty fields between."""
        if self.names:
            return pl.scan_csv(path, infer_schema=False)
        return pl.scan_csv(
            path, separator=self.separator[0], has_header=False, infer_schema=False, quote_char=None
        )

    def columns(self) -> list[pl.Expr]:
        """User, movie and time, as text."""
        return [self.column(place) for place in self.names or self.places]

    def column(self, place: int | str) -> pl.Expr:
        """The field at a place or of a name, as text."""
        found = pl.col(place) if isinstance(place, str) else pl.nth(place * len(self.separator))
        return found.str.strip_chars()

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The fields of every line that is not blank, with its number."""
        with open_text(path) as lines:
            if self.names:
                reader = csv.reader(lines)
                yield from ((reader.line_num, fields) for fields in reader if fields)
            else:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, line.rstrip("\r\n").split(self.separator)


FORMS = (
    Form("ratings.csv", ",", names=("userId", "movieId", "timestamp"), stars="rating"),
    Form("ratings.dat", "::"),
    Form("u.data", "\t"),
)


def read_events(folder: Path) -> pl.DataFrame:
    """`user`, `movie` and `time` (seconds) of every rating of a folder, in the order of the file."""
    form = find_form(folder)
    path = folder / form.file
    user, movie, time = form.columns()
    try:
        frame = events(form.scan(path), user, movie, whole_seconds(time))
        if frame["time"].null_count():
            frame = events(form.scan(path), user, movie, written_time(time))
    except pl.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0]
        raise DataError(first_wrong_row(form, path) or f"{path}: {said}; mend the file") from error
    to_come = (frame["time"] > latest_time()).any()
    if sum(frame.null_count().row(0)) or frame["movie"].min() == 0 or to_come:
        raise DataError(first_wrong_row(form, path) or f"{path} has a row that is no rating; mend the file")
    if frame.is_empty():
        raise DataError(f"{path} holds no rating; give a file with rows")
    return frame


def read_stars(folder: Path) -> pl.DataFrame:
    """`movie`, `count` and `sum` of the stars of each movie, of all ratings of a folder that state some."""
    form = find_form(folder)
    path = folder / form.file
    movie, stars = form.column((form.names or form.places)[1]), form.column(form.stars)
    rows = form.scan(path).select(
        movie.cast(pl.UInt32, strict=False).alias("movie"),
        stars.cast(pl.Float64, strict=False).alias("stars"),
    )
    try:
        known = rows.drop_nulls().group_by("movie")
        return known.agg(pl.len().alias("count"), pl.col("stars").sum().alias("sum")).collect()
    except pl.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"{path} states no stars: {said}; leave the weight of ratings at 0") from error


def find_form(folder: Path) -> Form:
    """The form of the folder's ratings."""
    found = next((form for form in FORMS if (folder / form.file).exists()), None)
    if found is None:
        raise DataError(
            f"{folder} has no ratings.csv, ratings.dat, u.data or train.txt; name a MovieLens folder or a "
            "prepared split"
        )
    return found


def events(rows: pl.LazyFrame, user: pl.Expr, movie: pl.Expr, time: pl.Expr) -> pl.DataFrame:
    """The rows as numbers, null where a field is none; blank lines are passed over.

    The filter looks at all columns, without which polars would not notice a row with too many fields.
    """
    filled = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    numbers = filled.select(
        user.cast(pl.UInt64, strict=False).alias("user"),
        movie.cast(pl.UInt32, strict=False).alias("movie"),
        time.alias("time"),
    )
    return numbers.collect(engine="streaming")


def whole_seconds(time: pl.Expr) -> pl.Expr:
    """A time as MovieLens writes it."""
    return time.cast(pl.Int64, strict=False)


def written_time(time: pl.Expr) -> pl.Expr:
    """A time in seconds, whole or not, or as a date with a time of day in UTC."""
    date = time.str.replace("T", " ").str.strip_suffix("Z")
    return pl.coalesce(
        whole_seconds(time),
        time.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False),
        date.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False).dt.epoch("s"),
    )


def first_wrong_row(form: Form, path: Path) -> str | None:
    """What is wrong with the first row that is, or None."""
    places, width = form.places, None
    wrong: str | None
    for number, fields in form.rows(path):
        if width is None:
            width = len(fields)
            if form.names:
                places = named_places(form.names, fields, path)
                continue
        if width <= max(places):
            wrong = (
                f"{len(fields)} fields where {max(places) + 1} are expected, separated by {form.separator!r}"
            )
        elif len(fields) != width:
            wrong = f"{len(fields)} fields where {width} are expected"
        else:
            wrong = wrong_field(*(fields[place].strip() for place in places))
        if wrong:
            return f"{path}, line {number}: {wrong}"
    return None if width else f"{path} is empty; give a file with ratings"


def named_places(names: tuple[str, str, str], header: list[str], path: Path) -> tuple[int, int, int]:
    """Where the columns stand that the header names."""
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(names)}"
        )
    user, movie, time = map(header.index, names)
    return user, movie, time


def wrong_field(user: str, movie: str, time: str) -> str | None:
    """What is wrong with the fields of a row, or None."""
    if not is_number(user, 0, LARGEST_USER):
        return f"user id {user!r}; user ids are numbers from 0 to {LARGEST_USER}, so number your users"
    if not is_number(movie, 1, LARGEST_ID):
        return f"movie id {movie!r}; movie ids are numbers from 1 to {LARGEST_ID}, so number your movies"
    seconds = seconds_of(time)
    if seconds is None:
        return f"time {time!r}; seconds since 1970 are expected, or the form 2005-04-02 23:53:47"
    return wrong_time(time, seconds)


def seconds_of(time: str) -> float | None:
    """The seconds since 1970 that a field says, or None."""
    if NUMBER.fullmatch(time):
        return float(time)
    written = DATE.fullmatch(time)
    try:
        return datetime.fromisoformat(f"{written[1]} {written[2]}+00:00").timestamp() if written else None
    except ValueError:
        return None


def wrong_time(time: str, seconds: float) -> str | None:
    """What is wrong with a time that has not come yet: most likely its unit."""
    latest = latest_time()
    if seconds <= latest:
        return None
    unit = next((u for u, most in OTHER_UNITS.items() if FILES_BEGAN <= seconds / most <= latest), None)
    if unit:
        return f"time {time!r} looks like {unit}; give seconds since 1970"
    return f"time {time!r} has not come yet; give seconds since 1970"


def latest_time() -> float:
    """The latest time that is believed, in seconds."""
    return clock.time() + CLOCK_SKEW


def is_number(text: str, least: int, most: int) -> bool:
    """Whether a field is a whole number of that range."""
    return bool(re.fullmatch(r"\+?[0-9]{1,20}", text)) and least <= int(text) <= most
