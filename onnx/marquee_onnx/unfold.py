"""The network of a bundle, as a training can go on with it.

A bundle does not keep the weights as they were trained: its fp32 encoder has biases folded away and, with one
head, the queries and keys multiplied into one matrix. So other weights are read from it, of a network that
answers the same: keys are then the positions themselves, and the folded biases are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from marquee_onnx import bf16, bundle, tables
from marquee_onnx.errors import BundleError
from marquee_onnx.weights import Block, Dense, Floats, Norm, Shape, Weights


def read_weights(folder: Path) -> Weights:
    """Weights that answer as a bundle's fp32 encoder does; raises `BundleError` where the bundle is wrong."""
    shape = bundle.shape_of(bundle.check(folder))
    constants = Constants(bf16.read_constants(folder / bundle.CPU_ENCODER.file), shape)
    stored = {name: np.array(table, np.float32) for name, table in tables.read(folder / tables.FILE).items()}
    return Weights(
        shape,
        stored["item_embedding"],
        stored["output_embedding"],
        stored.get("position_embedding"),
        tuple(constants.block(number) for number in range(shape.blocks)),
        constants.norm("final_norm"),
    )


class Constants:
    """The named arrays of a CPU encoder of this shape; BUNDLE.md lists them."""

    def __init__(self, arrays: Mapping[str, Floats], shape: Shape) -> None:
        self.arrays = arrays
        self.shape = shape

    def __getitem__(self, name: str) -> Floats:
        if name not in self.arrays:
            raise BundleError(f"the fp32 CPU encoder has no {name}: write the bundle again")
        return self.arrays[name]

    def norm(self, name: str) -> Norm:
        """A LayerNorm."""
        return Norm(self[f"{name}.scale"], self[f"{name}.bias"])

    def dense(self, name: str) -> Dense:
        """A dense layer that has kept its bias."""
        return Dense(self[f"{name}.weight"], self[f"{name}.bias"])

    def block(self, number: int) -> Block:
        """A block; the last one stores its keys and its bias by distance in another form."""
        name, last = f"block{number}", number == self.shape.blocks - 1
        one_head = self.shape.heads == 1
        return Block(
            norm1=self.norm(f"{name}.norm1"),
            query=self.dense(f"{name}.sought" if one_head else f"{name}.query"),
            key=without_bias(self.key(name, last)),
            value=without_bias(self[f"{name}.value.weight"]),
            norm2=self.norm(f"{name}.norm2"),
            dense1=self.dense(f"{name}.dense1"),
            dense2=without_bias(self[f"{name}.dense2.weight"]),
            distance_bias=self.distance_bias(name, last) if self.shape.positions == "bias" else None,
        )

    def key(self, name: str, last: bool) -> Floats:
        """The key matrix [d, d], which multiplies positions."""
        if self.shape.heads == 1:
            return np.eye(self.shape.dimension, dtype=np.float32)
        weight = self[f"{name}.key.weight"]
        return weight.T * np.float32(self.shape.head_dimension**0.5) if last else weight

    def distance_bias(self, name: str, last: bool) -> Floats:
        """[heads, L]: entry i is added for the item that lies i places before the query."""
        stored = self[f"{name}.distance_bias"]
        return (stored if last else stored[:, -1])[:, ::-1]


def without_bias(weight: Floats) -> Dense:
    """A dense layer whose bias is zero."""
    return Dense(weight, np.zeros(weight.shape[1], np.float32))
