"""The keys by which the owner of a model's data knows its movies, where the data has any.

A server gives each key a number of its own store, so the same key has another number elsewhere: beside the
numbers of the vocabulary the keys say which movies are meant.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.errors import DataError
from marquee_onnx.text import open_text

FILE = "keys.txt"
LISTED = "movie_keys.csv"

Keys = Sequence[str]


def of_data(folder: Path, vocabulary: NDArray[np.uint32]) -> Keys | None:
    """The key of every item, empty where it has none; None where the data folder lists none."""
    path = folder / LISTED
    if not folder.is_dir() or not path.exists():
        return None
    with open_text(path) as file:
        rows = csv.DictReader(file)
        if not {"movieId", "movieKey"} <= set(rows.fieldnames or ()):
            raise DataError(f"{path} must name movieId and movieKey in its first line; export it again")
        listed = {row["movieId"]: row["movieKey"] or "" for row in rows}
    keys = [listed.get(str(movie_id), "") for movie_id in vocabulary]
    return keys if any(keys) else None


def read(folder: Path) -> Keys | None:
    """The keys beside a model; None where there are none."""
    path = folder / FILE
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else None


def write(folder: Path, keys: Keys | None) -> None:
    """Write the keys beside a model, a line an item, if there are any; those of before go."""
    (folder / FILE).unlink(missing_ok=True)
    if keys is not None:
        (folder / FILE).write_text("".join(f"{key}\n" for key in keys), encoding="utf-8", newline="\n")
