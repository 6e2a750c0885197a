"""Text and JSON at the package's edge: files that others wrote come in, reports go out.

Files are read through here, so that a foreign encoding or a half-copied archive is one sentence that names
the file and the line. JSON is written through here, because the NaN that Python writes by itself is none.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from marquee_onnx.errors import DataError


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """The lines of a UTF-8 file, plain or gzipped, with or without a byte order mark.

    Raises `DataError` where a line is no UTF-8 or the archive is damaged.
    """
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        raise DataError(f"{foreign_byte(path)}; save the file as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file: {error}; copy it again") from error


def foreign_byte(path: Path) -> str:
    """Which byte of which line is no UTF-8."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"{path}, line {number}: byte 0x{line[error.start]:02x} is no UTF-8"
    return f"{path} is no UTF-8"


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    with open_text(path) as file:
        text = file.read()
    return parse_object(text, path)


def parse_object(text: str | bytes, place: object) -> dict[str, Any]:
    """The JSON object that a text is; `place` says where it stands."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter of brackets that nest too deep
        raise DataError(f"{place} is no JSON: {error}; write it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{place} holds no JSON object; write it again")
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON with null where a number is not finite."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """The same value with None for every NaN and infinity in it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return value
