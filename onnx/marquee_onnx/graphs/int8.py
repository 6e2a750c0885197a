"""`encoder.cpu.int8.onnx`: the CPU encoder with its dense layers in 8 bits.

Weights are symmetric int8 with one scale a column, in 7 bits (-63..63): on CPUs with AVX2 and no VNNI the
8-bit multiply-add adds two products of u8 x s8 in 16 saturating bits, and 2 x 255 x 63 still fits.
Activations are quantised as they come, u8 with one scale a matrix. Norms, attention, the tables and the
single row of the last block stay fp32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from marquee_onnx.graphs.builder import CONTRIB, GraphBuilder
from marquee_onnx.graphs.cpu import Fp32Layers, author
from marquee_onnx.tables import Table
from marquee_onnx.weights import Dense, Floats, Weights

LARGEST_WEIGHT = 63


def quantise(weight: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 7-bit columns: `weight` is about `quantised * scales`."""
    scales = np.abs(weight).max(axis=0) / LARGEST_WEIGHT
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales


class Int8Layers(Fp32Layers):
    """Dense layers of 8-bit factors."""

    def __init__(self, graph: GraphBuilder) -> None:
        super().__init__(graph)
        self.quantised_inputs: dict[str, list[str]] = {}

    def dense(self, x: str, weight: Floats, name: str, bias: Floats | None = None) -> str:
        """`x @ weight + bias` in float32 from 8-bit factors."""
        matrix, scales = quantise(weight)
        integers, scale, zero = self.quantised(x)
        inputs = [
            integers,
            self.graph.constant(f"{name}.weight", matrix),
            scale,
            self.graph.constant(f"{name}.scales", scales),
            zero,
        ]
        if bias is not None:
            inputs += ["", self.graph.constant(f"{name}.bias", bias)]
        return self.graph.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB)

    def relu(self, x: str, layer: Dense, name: str) -> str:
        """`relu(x @ weight + bias)`."""
        return self.graph.node("Relu", self.dense(x, layer.weight, name, layer.bias))

    def add(self, x: str, weight: Floats, residual: str, name: str) -> str:
        """`x @ weight + residual`."""
        return self.graph.node("Add", self.dense(x, weight, name), residual)

    def quantised(self, x: str) -> list[str]:
        """The u8 matrix of x, its scale and its zero point; made once, so that keys and values share it."""
        if x not in self.quantised_inputs:
            self.quantised_inputs[x] = self.graph.nodes_out("DynamicQuantizeLinear", 3, x)
        return self.quantised_inputs[x]


def int8_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The 8-bit encoder for batch 1 on a CPU."""
    return author(weights)(weights, tables, Int8Layers).build()
