"""Folders that a command may write into: what somebody else put there is never replaced."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from marquee_onnx.errors import DataError


def check_replaceable(folder: Path, marker: str, overwrite: bool) -> None:
    """Refuse a place that holds anything, unless its `marker` says that it is of the kind to be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir()) and overwrite):
        return
    if not overwrite:
        raise DataError(f"{folder} exists: choose another place, or --overwrite")
    if not (folder / marker).is_file():
        raise DataError(f"{folder} has no {marker}, so --overwrite leaves it alone: choose another place")


def check_unused(folder: Path, marker: str, written: Collection[str]) -> None:
    """Refuse a folder that has files of these names, unless its `marker` says whose they are."""
    found = sorted(name for name in written if (folder / name).exists())
    if found and not (folder / marker).is_file():
        raise DataError(f"{folder} has {', '.join(found)} and no {marker}: choose another --output")
