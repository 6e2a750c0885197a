"""The network's weights as NumPy arrays, and their names in the public state dict.

Everything that authors, checks or generates a model speaks of these two classes; only `checkpoint.py` and
this module know how PyTorch names and lays out the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from marquee_onnx.errors import CheckpointError

Floats = NDArray[np.floating]
POSITIONS = ("right", "bias")


@dataclass(frozen=True)
class Shape:
    """The sizes that define a gSASRec network: N items, width d, window L; and how it knows the items' order.

    `positions` is one of `POSITIONS`: a learnt row a position, the newest item's the last (`right`), or a
    learnt number a head and distance that is added to the logits of the attention (`bias`).
    """

    items: int
    dimension: int
    maximum_length: int
    heads: int
    blocks: int
    positions: str = "right"

    def __post_init__(self) -> None:
        if min(self.items, self.dimension, self.maximum_length, self.heads, self.blocks) < 1:
            raise CheckpointError(f"every size must be at least 1: {self}")
        if self.dimension % self.heads:
            raise CheckpointError(f"{self.heads} heads do not divide the dimension {self.dimension}")
        if self.positions not in POSITIONS:
            raise CheckpointError(f"positions are {self.positions!r}, known are {', '.join(POSITIONS)}")

    @property
    def head_dimension(self) -> int:
        """Width of one attention head."""
        return self.dimension // self.heads


@dataclass(frozen=True)
class Dense:
    """`y = x @ weight + bias`: weight is [in, out], the transpose of PyTorch's."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Norm:
    """A LayerNorm's scale and bias, each [d]."""

    scale: Floats
    bias: Floats


@dataclass(frozen=True)
class Block:
    """One transformer block; every dense layer is [d, d].

    `distance_bias` [heads, L] is there where the shape's positions are `bias`: entry i of a head is added to
    the logit of the item that lies i places before the query.
    """

    norm1: Norm
    query: Dense
    key: Dense
    value: Dense
    norm2: Norm
    dense1: Dense
    dense2: Dense
    distance_bias: Floats | None = None


@dataclass(frozen=True)
class Weights:
    """A whole network. The tables hold the N real items only: row i is item i + 1.

    `position_embedding` [L, d] is there where the shape's positions are `right`.
    """

    shape: Shape
    item_embedding: Floats
    output_embedding: Floats
    position_embedding: Floats | None
    blocks: tuple[Block, ...]
    final_norm: Norm


DISTANCE_BIAS = "multihead_attention.distance_bias"
STATE_DICT_NAMES = {
    "norm1": "first_norm",
    "query": "multihead_attention.query_proj",
    "key": "multihead_attention.key_proj",
    "value": "multihead_attention.val_proj",
    "norm2": "second_norm",
    "dense1": "dense1",
    "dense2": "dense2",
}


def to_state_dict(weights: Weights) -> dict[str, NDArray[np.float32]]:
    """The public layout: tables of N + 2 rows (first and padding row zero), `[out, in]` weights."""
    state: dict[str, Floats] = {}
    for name in ("item_embedding", "output_embedding"):
        table = getattr(weights, name)
        state[f"{name}.weight"] = np.pad(table, ((1, 1), (0, 0)))
    if weights.position_embedding is not None:
        state["position_embedding.weight"] = weights.position_embedding
    for number, block in enumerate(weights.blocks):
        if block.distance_bias is not None:
            state[f"transformer_blocks.{number}.{DISTANCE_BIAS}"] = block.distance_bias
        for name, theirs in STATE_DICT_NAMES.items():
            prefix = f"transformer_blocks.{number}.{theirs}"
            layer = getattr(block, name)
            matrix = layer.weight.T if isinstance(layer, Dense) else layer.scale
            state[f"{prefix}.weight"], state[f"{prefix}.bias"] = matrix, layer.bias
    state["seq_norm.weight"], state["seq_norm.bias"] = weights.final_norm.scale, weights.final_norm.bias
    return {name: np.ascontiguousarray(array, np.float32) for name, array in state.items()}


def read_safetensors(path: Path) -> Mapping[str, Floats]:
    """The arrays of a safetensors file by name."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, AttributeError) as error:  # of a folder, of a type that NumPy lacks
        raise CheckpointError(f"{path} is no safetensors file of a network: {error}") from error


def from_state_dict(state: Mapping[str, Floats], heads: int) -> Weights:
    """Weights of a public gSASRec state dict; every size but the number of heads is inferred.

    Raises `CheckpointError` naming the first key that is missing, left over or of another shape.
    """
    remaining = {name: np.asarray(array, np.float32) for name, array in state.items()}

    def take(name: str, *shape: int | None) -> Floats:
        if name not in remaining:
            raise CheckpointError(f"the checkpoint has no {name}: is it a gSASRec state dict?")
        array = remaining.pop(name)
        expected = tuple(
            array.shape[i] if size is None else size for i, size in enumerate(shape[: array.ndim])
        )
        if array.ndim != len(shape) or array.shape != expected:
            raise CheckpointError(
                f"{name} has shape {list(array.shape)}, expected {list(shape)} (None is free)"
            )
        if not np.isfinite(array).all():
            raise CheckpointError(f"{name} holds values that are not finite")
        return array

    items = take("item_embedding.weight", None, None)
    rows, dimension = items.shape
    if rows < 3:
        raise CheckpointError(f"item_embedding.weight has {rows} rows; N items need N + 2")
    output = take("output_embedding.weight", rows, dimension)
    biased = f"transformer_blocks.0.{DISTANCE_BIAS}" in remaining
    positions = None if biased else take("position_embedding.weight", None, dimension)
    blocks = 0
    while any(name.startswith(f"transformer_blocks.{blocks}.") for name in remaining):
        blocks += 1
    length = positions.shape[0] if positions is not None else reach_of(remaining)
    shape = Shape(rows - 2, dimension, length, heads, blocks, "bias" if biased else "right")

    def norm(prefix: str) -> Norm:
        return Norm(take(f"{prefix}.weight", dimension), take(f"{prefix}.bias", dimension))

    def dense(prefix: str) -> Dense:
        matrix = take(f"{prefix}.weight", dimension, dimension)
        return Dense(np.ascontiguousarray(matrix.T), take(f"{prefix}.bias", dimension))

    def block(number: int) -> Block:
        prefix = {ours: f"transformer_blocks.{number}.{theirs}" for ours, theirs in STATE_DICT_NAMES.items()}
        return Block(
            norm1=norm(prefix["norm1"]),
            query=dense(prefix["query"]),
            key=dense(prefix["key"]),
            value=dense(prefix["value"]),
            norm2=norm(prefix["norm2"]),
            dense1=dense(prefix["dense1"]),
            dense2=dense(prefix["dense2"]),
            distance_bias=(
                take(f"transformer_blocks.{number}.{DISTANCE_BIAS}", heads, length) if biased else None
            ),
        )

    weights = Weights(
        shape, items[1:-1], output[1:-1], positions, tuple(block(i) for i in range(blocks)), norm("seq_norm")
    )
    if remaining:
        raise CheckpointError(
            f"the checkpoint has keys that gSASRec does not know: {', '.join(sorted(remaining)[:5])}"
        )
    return weights


def reach_of(state: Mapping[str, Floats]) -> int:
    """The window L of a network with a bias by distance."""
    bias = state[f"transformer_blocks.0.{DISTANCE_BIAS}"]
    if bias.ndim != 2:
        raise CheckpointError(f"the bias by distance has shape {list(bias.shape)}, expected [heads, L]")
    return bias.shape[1]
