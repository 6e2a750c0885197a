"""The log of a training: a line of JSON an epoch, with validation figures where there was one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marquee_onnx.errors import DataError
from marquee_onnx.text import open_text, parse_object, to_json

FILE = "log.jsonl"


def read(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines, none where there is no log."""
    if not (folder / FILE).exists():
        return
    with open_text(folder / FILE) as lines:
        for number, line in enumerate(lines, 1):
            place = f"{folder / FILE}, line {number}"
            record = parse_object(line, place)
            if not {"epoch", "loss"} <= set(record) or not all(
                isinstance(value, int | float) for value in record.values()
            ):
                raise DataError(f"{place} is no epoch's figures; choose another --output")
            yield record


def validations(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines that hold validation figures."""
    return (record for record in read(folder) if "ndcg@10" in record)


def add(folder: Path, record: Mapping[str, Any]) -> None:
    """Add an epoch."""
    with (folder / FILE).open("a") as log:
        log.write(to_json(record) + "\n")
