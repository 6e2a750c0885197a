"""`tables.safetensors`: the tables, written so that graphs and servers can map them.

safetensors allows spaces behind its JSON header; they are used to begin the data at a multiple of 64 bytes,
which the library's own writer does not promise. The positions inside the file go into the graphs as external
data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from marquee_onnx.errors import BundleError
from marquee_onnx.text import parse_object
from marquee_onnx.weights import Floats, Weights

FILE = "tables.safetensors"
NAMES = ("item_embedding", "output_embedding", "position_embedding")
# A network that knows the order of the items otherwise has no table of positions.
ALWAYS = NAMES[:2]
ALIGNMENT = 64
PRECISIONS: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16)}
SAFETENSORS_DTYPES = {"f32": "F32", "f16": "F16"}


@dataclass(frozen=True)
class Table:
    """Where one table lies: `offset` counts bytes from the start of the file."""

    name: str
    shape: tuple[int, ...]
    precision: str
    offset: int

    @property
    def length(self) -> int:
        """Bytes of the table."""
        return prod(self.shape) * PRECISIONS[self.precision].itemsize


def of(weights: Weights) -> dict[str, Floats]:
    """The tables of a network, by name."""
    tables = {name: getattr(weights, name) for name in NAMES}
    return {name: table for name, table in tables.items() if table is not None}


def round_trip(table: Floats, precision: str) -> Floats:
    """What a reader of a table stored in `precision` sees, in float32."""
    return table.astype(PRECISIONS[precision]).astype(np.float32)


def header_of(shapes: dict[str, tuple[int, ...]], precision: str) -> bytes:
    """The length-prefixed JSON header, padded with spaces to a multiple of 64 bytes."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + prod(shape) * PRECISIONS[precision].itemsize
        entries[name] = {
            "dtype": SAFETENSORS_DTYPES[precision],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def write(path: Path, arrays: Mapping[str, Floats], precision: str) -> dict[str, Table]:
    """Write the tables in `precision` and return where they lie."""
    arrays = {name: arrays[name] for name in NAMES if name in arrays}
    with path.open("wb") as file:
        file.write(header_of({name: array.shape for name, array in arrays.items()}, precision))
        for array in arrays.values():
            if precision == "f16" and np.abs(array).max() > np.finfo(np.float16).max:
                raise BundleError("a table holds values beyond 65504; write it with --tables f32")
            file.write(np.ascontiguousarray(array, PRECISIONS[precision].newbyteorder("<")).data)
    return locate(path)


def locate(path: Path) -> dict[str, Table]:
    """Read the header of a tables file; raises `BundleError` when it is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise BundleError(f"{path.name} is no safetensors file: it has {size} bytes")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(size - 8, 1 << 20):
            raise BundleError(f"{path.name} is no safetensors file: its header would have {length} bytes")
        entries = parse_object(file.read(length), f"the header of {path.name}")
    held = set(entries) - {"__metadata__"}
    if not set(ALWAYS) <= held <= set(NAMES):
        raise BundleError(f"{path.name} holds {sorted(entries)}, expected {sorted(NAMES)}")
    precisions = {dtype: precision for precision, dtype in SAFETENSORS_DTYPES.items()}
    tables = {}
    for name in (name for name in NAMES if name in held):
        entry = entries[name]
        if entry["dtype"] not in precisions:
            raise BundleError(f"{path.name}: {name} has dtype {entry['dtype']}, expected F32 or F16")
        begin, end = entry["data_offsets"]
        table = Table(name, tuple(entry["shape"]), precisions[entry["dtype"]], 8 + length + begin)
        if table.length != end - begin or 8 + length + end > size:
            raise BundleError(f"{path.name}: {name} does not fit its offsets; copy the bundle again")
        tables[name] = table
    return tables


def read(path: Path) -> dict[str, Floats]:
    """The tables, mapped read-only, in their stored precision."""
    return {
        name: np.memmap(path, PRECISIONS[table.precision], "r", table.offset, table.shape)
        for name, table in locate(path).items()
    }
