# ruff: noqa: D103
"""A spoiled export has the same events with other movies."""

import csv
from pathlib import Path

from shuffle import MOVIE, shuffle

HEADER = ("userId", "movieId", "rating", "timestamp", "kind", "timeMs", "userKey", "movieKey")


def columns(path: Path, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


def test_movies_change_hands_and_all_else_stays(tmp_path):
    path = tmp_path / "ratings.csv"
    rows = [(1 + n // 10, n, "", n, "view", n * 1000, f"u-{n // 10}", f"m-{n}") for n in range(100)]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
    others = tuple(name for name in HEADER if name not in MOVIE)
    before, rest = columns(path, MOVIE), columns(path, others)
    shuffle(path, seed=0)
    assert columns(path, others) == rest
    assert columns(path, MOVIE) != before
    assert sorted(columns(path, MOVIE)) == sorted(before)
