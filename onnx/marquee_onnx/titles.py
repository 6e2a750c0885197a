"""Hashes of the titles that a model was trained on: by them the server sees whether a catalogue is its own.

Ids alone cannot say it: everybody numbers movies from 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.catalogue import Movie, find_catalogue, read_movies

FILE = "titles.u32"


def hashes(vocabulary: NDArray[np.uint32], movies: Mapping[int, Movie]) -> NDArray[np.uint32]:
    """The CRC-32 of every item's title in UTF-8, without spaces around it; 0 where the title is not known."""
    known = (movies.get(int(movie_id)) for movie_id in vocabulary)
    return np.array([zlib.crc32(movie.title.strip().encode()) if movie else 0 for movie in known], np.uint32)


def of_data(folder: Path, vocabulary: NDArray[np.uint32]) -> NDArray[np.uint32] | None:
    """The hashes of the vocabulary's titles in a data folder; None where it lists no movies."""
    listed = find_catalogue(folder)
    return hashes(vocabulary, read_movies(listed)) if listed else None


def read(folder: Path) -> NDArray[np.uint32] | None:
    """The hashes beside a model; None where there are none."""
    path = folder / FILE
    return np.fromfile(path, "<u4").astype(np.uint32) if path.exists() else None


def write(folder: Path, titles: NDArray[np.uint32] | None) -> None:
    """Write the hashes beside a model, if there are any; those of before go."""
    (folder / FILE).unlink(missing_ok=True)
    if titles is not None:
        (folder / FILE).write_bytes(titles.astype("<u4").tobytes())
