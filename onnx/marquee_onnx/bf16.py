"""The CPU encoder with the factors of its products in bfloat16, emulated in float32.

CPUs multiply bfloat16 with sums in float32 several times as fast as float32, and an encoder that does so
needs no graph of its own: it rounds what stands in the fp32 one. This says what that costs before a kernel
runs, on any machine, and is the reference of the kernels.

Rounded to bfloat16, to nearest and ties to even, is every factor of a matrix product in the blocks: weights
and what they are applied to, queries, keys, values, attention weights. Sums, LayerNorms, softmax, residuals
and embeddings stay float32. Otherwise the arithmetic is that of `graphs/cpu.py`, so of the last block only
the newest position is computed. The order of sums is not emulated; it changes an answer by 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from marquee_onnx import tables
from marquee_onnx.errors import BundleError
from marquee_onnx.forward import layer_norm
from marquee_onnx.sessions import History
from marquee_onnx.weights import Norm, Shape

Float32: TypeAlias = NDArray[np.float32]
Rounding: TypeAlias = Callable[[Float32], Float32]


def to_bf16(x: Float32) -> Float32:
    """The nearest bfloat16 of every number, ties to even, as float32; beyond the largest it is infinite."""
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which becomes a quiet one
        return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def read_constants(graph: Path) -> dict[str, Float32]:
    """The float32 arrays that stand in a graph, by name; raises `BundleError` where it is none."""
    try:
        initialisers = onnx.load(graph, load_external_data=False).graph.initializer
    except Exception as error:
        raise BundleError(f"{graph.name} is no valid ONNX model: {error}") from error
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in initialisers
        if tensor.data_location != TensorProto.EXTERNAL and tensor.data_type == TensorProto.FLOAT
    }


class Encoder:
    """User vectors of single histories, with every factor put through `rounded`."""

    def __init__(self, graph: Path, shape: Shape, rounded: Rounding = to_bf16) -> None:
        """Read the fp32 CPU encoder `graph` and the tables beside it."""
        self.shape = shape
        self.rounded = rounded
        stored = tables.read(graph.parent / tables.FILE)
        self.items, self.positions = stored["item_embedding"], stored.get("position_embedding")
        self.constants: Mapping[str, Float32] = {
            name: rounded(array) if name.endswith(".weight") else array
            for name, array in read_constants(graph).items()
        }
        several = shape.heads > 1
        self.attend_all = self.attention if several else self.one_head_attention
        self.attend_newest = self.newest_attention if several else self.one_head_attention

    def encode(self, history: History) -> Float32:
        """The user vector [d] of a history of item numbers, oldest first; the newest L of them count."""
        newest = np.asarray(history[-self.shape.maximum_length :], np.int64)
        x = np.asarray(self.items[newest - 1], np.float32)
        if self.positions is not None:
            x += np.asarray(self.positions[-len(newest) :], np.float32)
        *full, last = (f"block{number}" for number in range(self.shape.blocks))
        for name in full:
            residual = self.norm(x, f"{name}.norm1")
            x = self.feed_forward(residual + self.attend_all(residual, x, name), name)
        residual = self.norm(x[-1:], f"{last}.norm1")
        user = self.feed_forward(residual + self.attend_newest(residual, x, last), last)
        return self.norm(user, "final_norm")[0]

    def attention(self, normed: Float32, x: Float32, name: str) -> Float32:
        """What every position attends to, [time, d]."""
        width = self.shape.head_dimension
        query, key, value = (
            self.product(factor, f"{name}.{part}").reshape(len(x), -1, width).transpose(1, 0, 2)
            for factor, part in ((normed, "query"), (x, "key"), (x, "value"))
        )
        mixed = self.mixed(query, key, value, width**-0.5, self.biases(name, len(x), len(x)))
        return mixed.transpose(1, 0, 2).reshape(x.shape)

    def newest_attention(self, normed: Float32, x: Float32, name: str) -> Float32:
        """What the newest position attends to, [1, d], without a key or value of any position.

        Each head looks for a vector of width d; the scale of the logits is in the graph's key matrix.
        """
        parts = self.constant("head_parts")
        sought = self.product(self.product(normed, f"{name}.query") * parts, f"{name}.key")
        mixed = self.mixed(sought[:, None], x[None], x[None], 1.0, self.biases(name, 1, len(x)))[:, 0]
        return np.sum(self.product(mixed, f"{name}.value") * parts, axis=0, keepdims=True)

    def one_head_attention(self, normed: Float32, x: Float32, name: str) -> Float32:
        """What the newest positions, as many as `normed` has, attend to in a network of one head."""
        sought = self.product(normed, f"{name}.sought")
        biases = self.biases(name, len(normed), len(x))
        mixed = self.mixed(sought[None], x[None], x[None], self.shape.dimension**-0.5, biases)[0]
        return self.product(mixed, f"{name}.value")

    def biases(self, name: str, queries: int, time: int) -> Float32 | float:
        """What is added to the logits of the newest positions, [heads, queries, time]; 0 where nothing is."""
        stored = self.constants.get(f"{name}.distance_bias")
        if stored is None:
            return 0.0
        rows = stored if stored.ndim == 3 else stored[:, None]
        return rows[:, -queries:, -time:]

    def mixed(
        self, query: Float32, key: Float32, value: Float32, scale: float, biases: Float32 | float
    ) -> Float32:
        """Causal softmax attention, [heads, queries, width]; queries are those of the newest positions."""
        logits = self.rounded(query) @ self.rounded(key).transpose(0, 2, 1) * np.float32(scale) + biases
        queries, time = logits.shape[1:]
        future = ~np.tri(queries, time, time - queries, dtype=bool)
        logits = np.where(future, np.float32(-np.inf), logits)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return self.rounded(weights) @ self.rounded(value) / weights.sum(-1, keepdims=True)

    def feed_forward(self, x: Float32, name: str) -> Float32:
        """LayerNorm, two dense layers and the residual."""
        residual = self.norm(x, f"{name}.norm2")
        hidden = np.maximum(self.product(residual, f"{name}.dense1"), 0)
        return self.product(hidden, f"{name}.dense2") + residual

    def product(self, x: Float32, name: str) -> Float32:
        """`x @ weight`, plus the bias where the layer has one."""
        product = self.rounded(x) @ self.constant(f"{name}.weight")
        bias = self.constants.get(f"{name}.bias")
        return product if bias is None else product + bias

    def norm(self, x: Float32, name: str) -> Float32:
        """LayerNorm over the last axis."""
        return layer_norm(x, Norm(self.constant(f"{name}.scale"), self.constant(f"{name}.bias")))

    def constant(self, name: str) -> Float32:
        """An array of the graph."""
        if name not in self.constants:
            raise BundleError(f"the fp32 CPU encoder has no {name}: write the bundle again")
        return self.constants[name]
