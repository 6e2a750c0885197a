"""`encoder.cpu.onnx`: one unpadded sequence, fp32, no arithmetic that the answer does not need.

Compared with the network as it is written down, with the same result up to rounding:

- The key bias adds the same number to all of a query's logits, and softmax does not see it: dropped.
- Attention weights add up to 1, so the value bias is a constant added to the attention's output. It moves
  into the bias of the LayerNorm that makes the residual; the query's bias takes it out again.
- The second dense layer's bias moves into the bias of the LayerNorm before it (the first dense layer's bias
  takes it out again), so that the residual can be the Gemm's C and needs no addition of its own.
- The last block has one query. q.(Wk x_j) = (Wk^T q).x_j, so the key matrix is applied to the query and not
  to every position, and the value matrix to the weighted sum of the positions: two products of T x d x d
  become vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto

from marquee_onnx.graphs.builder import CONTRIB, GraphBuilder, encoder_inputs, encoder_outputs
from marquee_onnx.tables import Table
from marquee_onnx.weights import Block, Dense, Floats, Norm, Shape, Weights

EPSILON = 1e-5


@dataclass(frozen=True)
class FoldedBlock:
    """A block after the bias folding above: same output, no key, value or second dense bias."""

    norm1: Norm
    query: Dense
    key: Floats
    value: Floats
    norm2: Norm
    dense1: Dense
    dense2: Floats


def fold(block: Block) -> FoldedBlock:
    """Move the biases of `block` to where they cost nothing; computed in float64, returned in float32."""

    def f64(array: Floats) -> Floats:
        return np.asarray(array, np.float64)

    def f32(array: Floats) -> Floats:
        return np.asarray(array, np.float32)

    query_bias = f64(block.query.bias) - f64(block.value.bias) @ f64(block.query.weight)
    dense1_bias = f64(block.dense1.bias) - f64(block.dense2.bias) @ f64(block.dense1.weight)
    return FoldedBlock(
        norm1=Norm(f32(block.norm1.scale), f32(f64(block.norm1.bias) + f64(block.value.bias))),
        query=Dense(f32(block.query.weight), f32(query_bias)),
        key=f32(block.key.weight),
        value=f32(block.value.weight),
        norm2=Norm(f32(block.norm2.scale), f32(f64(block.norm2.bias) + f64(block.dense2.bias))),
        dense1=Dense(f32(block.dense1.weight), f32(dense1_bias)),
        dense2=f32(block.dense2.weight),
    )


class CpuEncoder:
    """Authors the graph; the body works on [time, d] matrices."""

    def __init__(self, weights: Weights, tables: Mapping[str, Table]) -> None:
        self.weights = weights
        self.shape: Shape = weights.shape
        self.tables = tables
        self.graph = GraphBuilder("gsasrec_encoder_cpu")

    def build(self) -> ModelProto:
        """The finished model."""
        x = self.embed()
        folded = [fold(block) for block in self.weights.blocks]
        for number, block in enumerate(folded[:-1]):
            x = self.full_block(x, block, f"block{number}")
        user = self.last_block(x, folded[-1], f"block{len(folded) - 1}")
        self.graph.section = "output"
        self.norm(user, self.weights.final_norm, "final_norm")
        self.graph.rename(self.graph.nodes[-1].output[0], "user")
        return self.graph.model(encoder_inputs(1), encoder_outputs(1, self.shape.dimension))

    def rows(self, table: str, index: str) -> str:
        """Rows of a table as float32."""
        gathered = self.graph.node("Gather", self.graph.table(self.tables[table]), index)
        if self.tables[table].precision == "f16":
            return self.graph.node("Cast", gathered, to=TensorProto.FLOAT)
        return gathered

    def embed(self) -> str:
        """Item and position rows added, as a [time, d] matrix."""
        one = self.graph.constant("one", np.array(1, np.int64))
        items = self.rows("item_embedding", self.graph.node("Sub", "items", one))
        x = self.graph.node("Add", items, self.rows("position_embedding", "positions"))
        return self.reshape(x, "matrix", -1, self.shape.dimension)

    def full_block(self, x: str, block: FoldedBlock, name: str) -> str:
        """All positions of one block."""
        self.graph.section = name
        residual = self.norm(x, block.norm1, f"{name}.norm1")
        query = self.dense(residual, block.query, f"{name}.query")
        key = self.product(x, block.key, f"{name}.key")
        value = self.product(x, block.value, f"{name}.value")
        attended = self.graph.node("Add", self.attention(query, key, value), residual)
        return self.feed_forward(attended, block, name)

    def attention(self, query: str, key: str, value: str) -> str:
        """Causal multi-head attention of [time, d] matrices."""
        attended = self.graph.node(
            "Attention",
            *(self.reshape(part, "sequence", 1, -1, self.shape.dimension) for part in (query, key, value)),
            is_causal=1,
            q_num_heads=self.shape.heads,
            kv_num_heads=self.shape.heads,
        )
        return self.reshape(attended, "matrix", -1, self.shape.dimension)

    def last_block(self, x: str, block: FoldedBlock, name: str) -> str:
        """The newest position of the last block, [1, d]; the only position that the answer needs."""
        self.graph.section = name
        heads, width, dimension = self.shape.heads, self.shape.head_dimension, self.shape.dimension
        newest = self.graph.node("Gather", x, self.graph.constant("newest", np.array([-1], np.int64)), axis=0)
        residual = self.norm(newest, block.norm1, f"{name}.norm1")
        query = self.dense(residual, block.query, f"{name}.query")
        key = block.key.reshape(dimension, heads, width).transpose(1, 2, 0) / np.sqrt(np.float32(width))
        keyed = self.graph.node(
            "MatMul",
            self.reshape(query, "heads", heads, 1, width),
            self.graph.constant(f"{name}.key", key),
        )
        logits = self.graph.node("Gemm", self.reshape(keyed, "per_head", heads, dimension), x, transB=1)
        mixed = self.graph.node("MatMul", self.graph.node("Softmax", logits, axis=-1), x)
        value = block.value.reshape(dimension, heads, width).transpose(1, 0, 2)
        attention = self.graph.node(
            "MatMul",
            self.reshape(mixed, "rows", heads, 1, dimension),
            self.graph.constant(f"{name}.value", value),
        )
        attention = self.reshape(attention, "vector", 1, dimension)
        return self.feed_forward(self.graph.node("Add", attention, residual), block, name)

    def feed_forward(self, x: str, block: FoldedBlock, name: str) -> str:
        """LayerNorm, two dense layers and the residual."""
        residual = self.norm(x, block.norm2, f"{name}.norm2")
        weight = self.graph.constant(f"{name}.dense1.weight", block.dense1.weight)
        bias = self.graph.constant(f"{name}.dense1.bias", block.dense1.bias)
        hidden = self.graph.node("FusedGemm", residual, weight, bias, domain=CONTRIB, activation="Relu")
        return self.graph.node("Gemm", hidden, self.graph.constant(f"{name}.dense2", block.dense2), residual)

    def norm(self, x: str, norm: Norm, name: str) -> str:
        """LayerNormalization over the last axis."""
        scale = self.graph.constant(f"{name}.scale", norm.scale)
        bias = self.graph.constant(f"{name}.bias", norm.bias)
        return self.graph.node("LayerNormalization", x, scale, bias, epsilon=EPSILON)

    def dense(self, x: str, layer: Dense, name: str) -> str:
        """`x @ weight + bias`."""
        weight = self.graph.constant(f"{name}.weight", layer.weight)
        return self.graph.node("Gemm", x, weight, self.graph.constant(f"{name}.bias", layer.bias))

    def product(self, x: str, weight: Floats, name: str) -> str:
        """`x @ weight`."""
        return self.graph.node("MatMul", x, self.graph.constant(name, weight))

    def reshape(self, x: str, name: str, *shape: int) -> str:
        """A view in another shape; nothing is copied."""
        return self.graph.node("Reshape", x, self.graph.constant(f"shape.{name}", np.array(shape, np.int64)))


def cpu_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The fp32 encoder for batch 1 on a CPU."""
    return CpuEncoder(weights, tables).build()
