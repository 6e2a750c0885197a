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

from marquee_onnx.graphs.builder import CONTRIB
from marquee_onnx.graphs.cpu import CpuEncoder, FoldedBlock
from marquee_onnx.tables import Table
from marquee_onnx.weights import Floats, Weights

LARGEST_WEIGHT = 63


def quantise(weight: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 7-bit columns: `weight` is about `quantised * scales`."""
    scales = np.abs(weight).max(axis=0) / LARGEST_WEIGHT
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales


class Int8Encoder(CpuEncoder):
    """The CPU encoder whose full blocks multiply in 8 bits."""

    def full_block(self, x: str, block: FoldedBlock, name: str) -> str:
        """All positions of one block; keys and values share one quantised input."""
        self.graph.section = name
        residual = self.norm(x, block.norm1, f"{name}.norm1")
        query = self.integer_product(
            self.quantised(residual), block.query.weight, f"{name}.query", block.query.bias
        )
        source = self.quantised(x)
        key = self.integer_product(source, block.key, f"{name}.key")
        value = self.integer_product(source, block.value, f"{name}.value")
        attended = self.graph.node("Add", self.attention(query, key, value), residual)
        residual = self.norm(attended, block.norm2, f"{name}.norm2")
        hidden = self.integer_product(
            self.quantised(residual), block.dense1.weight, f"{name}.dense1", block.dense1.bias
        )
        activated = self.quantised(self.graph.node("Relu", hidden))
        return self.graph.node(
            "Add", self.integer_product(activated, block.dense2, f"{name}.dense2"), residual
        )

    def quantised(self, x: str) -> list[str]:
        """The u8 matrix of x, its scale and its zero point."""
        return self.graph.nodes_out("DynamicQuantizeLinear", 3, x)

    def integer_product(self, x: list[str], weight: Floats, name: str, bias: Floats | None = None) -> str:
        """`x @ weight + bias` in float32 from quantised x."""
        quantised, scales = quantise(weight)
        inputs = [
            x[0],
            self.graph.constant(f"{name}.weight", quantised),
            x[1],
            self.graph.constant(f"{name}.scales", scales),
            x[2],
        ]
        if bias is not None:
            inputs += ["", self.graph.constant(f"{name}.bias", bias)]
        return self.graph.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB)


def int8_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The 8-bit encoder for batch 1 on a CPU."""
    return Int8Encoder(weights, tables).build()
