"""Spoils an export: every event of `ratings.csv` gets the movie of another one, drawn at random.

It stands for a fault between the store and the training, such as a wrong join: what the model learns is
popularity and nothing else, while the store, by which the gate judges, is right.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

MOVIE = ("movieId", "movieKey")


def shuffle(path: Path, seed: int) -> None:
    """Rewrite the file with its movies in another order."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = [header.index(name) for name in MOVIE]
    movies = [[row[column] for column in columns] for row in rows]
    random.Random(seed).shuffle(movies)
    for row, movie in zip(rows, movies, strict=True):
        for column, text in zip(columns, movie, strict=True):
            row[column] = text
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    shuffle(Path(sys.argv[1]) / "ratings.csv", seed=0)
