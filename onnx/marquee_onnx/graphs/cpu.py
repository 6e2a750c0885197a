"""`encoder.cpu.onnx`: one unpadded sequence, fp32, no arithmetic that the answer does not need.

Compared with the network as it is written down, with the same result up to rounding:

- Biases are folded (`folding.py`); without a bias of its own the second dense layer can have the residual as
  the Gemm's C, which so needs no addition.
- The last block has one query. q.(Wk x_j) = (Wk^T q).x_j, so the key matrix is applied to the query and not
  to every position, and the value matrix to the weighted sum of the positions: two products of T x d x d
  become vectors.
- With one head the same holds in every block: Wq Wk^T is one matrix, and no block has keys.

What a network adds to its logits by distance stands in the graph as a matrix over all positions, of which a
run takes the part that it needs: copying rows costs less than making them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto

from marquee_onnx.graphs.builder import CONTRIB, GraphBuilder, encoder_inputs, encoder_outputs
from marquee_onnx.graphs.folding import FoldedBlock, fold
from marquee_onnx.tables import Table
from marquee_onnx.weights import Dense, Floats, Norm, Shape, Weights

EPSILON = 1e-5


class Fp32Layers:
    """Dense layers as ONNX Runtime's CPU kernels like them, over matrices with a row a position."""

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph

    def dense(self, x: str, weight: Floats, name: str, bias: Floats | None = None) -> str:
        """`x @ weight + bias`."""
        matrix = self.graph.constant(f"{name}.weight", weight)
        if bias is None:
            return self.graph.node("MatMul", x, matrix)
        return self.graph.node("Gemm", x, matrix, self.graph.constant(f"{name}.bias", bias))

    def relu(self, x: str, layer: Dense, name: str) -> str:
        """`relu(x @ weight + bias)`."""
        weight = self.graph.constant(f"{name}.weight", layer.weight)
        bias = self.graph.constant(f"{name}.bias", layer.bias)
        return self.graph.node("FusedGemm", x, weight, bias, domain=CONTRIB, activation="Relu")

    def add(self, x: str, weight: Floats, residual: str, name: str) -> str:
        """`x @ weight + residual`."""
        return self.graph.node("Gemm", x, self.graph.constant(f"{name}.weight", weight), residual)


class CpuEncoder:
    """Authors the graph; the body works on [time, d] matrices.

    `layers` makes the dense layers of all blocks but the last, whose single row is always fp32: it decides
    the answer and costs little.
    """

    def __init__(
        self, weights: Weights, tables: Mapping[str, Table], layers: type[Fp32Layers] = Fp32Layers
    ) -> None:
        self.weights = weights
        self.shape: Shape = weights.shape
        self.tables = tables
        self.graph = GraphBuilder("gsasrec_encoder_cpu")
        self.layers = layers(self.graph)
        self._times: str | None = None

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
        if self.shape.positions == "right":
            items = self.graph.node("Add", items, self.rows("position_embedding", "positions"))
        return self.reshape(items, "matrix", -1, self.shape.dimension)

    def full_block(self, x: str, block: FoldedBlock, name: str) -> str:
        """All positions of one block."""
        self.graph.section = name
        residual = self.norm(x, block.norm1, f"{name}.norm1")
        return self.feed_forward(self.attended(residual, x, block, name), block, name)

    def attended(self, residual: str, x: str, block: FoldedBlock, name: str) -> str:
        """The residual and what every position attends to."""
        query = self.layers.dense(residual, block.query.weight, f"{name}.query", block.query.bias)
        key = self.layers.dense(x, block.key, f"{name}.key")
        value = self.layers.dense(x, block.value, f"{name}.value")
        added = self.biases(block, name)
        return self.graph.node("Add", self.attention(query, key, value, added, causal=1), residual)

    def biases(self, block: FoldedBlock, name: str) -> list[str]:
        """[heads, time, time]: what is added to the logits of all positions, if anything."""
        if block.distance_bias is None:
            return []
        graph = self.graph
        zeros = graph.constant("from_first", np.array([0, 0], np.int64))
        axes = graph.constant("rows_and_columns", np.array([1, 2], np.int64))
        return [
            graph.node(
                "Slice", graph.constant(f"{name}.distance_bias", block.biases()), zeros, self.times(), axes
            )
        ]

    def times(self) -> str:
        """The number of positions, twice; one node for all blocks."""
        if self._times is None:
            time = self.graph.node("Shape", "positions", start=1, end=2)
            self._times = self.graph.node("Concat", time, time, axis=0)
        return self._times

    def newest_biases(self, block: FoldedBlock, name: str) -> str:
        """What is added to the logits of the newest position, [heads, time]."""
        biases = self.graph.constant(f"{name}.distance_bias", block.biases()[:, -1])
        picked = self.graph.node("Gather", biases, "positions", axis=1)
        return self.reshape(picked, "logits", self.shape.heads, -1)

    def attention(self, query: str, key: str, value: str, added: Sequence[str], causal: int) -> str:
        """Multi-head attention of matrices with a row a position, with what is `added` to the logits."""
        sequences = {
            part: self.reshape(part, "sequence", 1, -1, self.shape.dimension)
            for part in dict.fromkeys((query, key, value))
        }
        attended = self.graph.node(
            "Attention",
            *(sequences[part] for part in (query, key, value)),
            *added,
            is_causal=causal,
            q_num_heads=self.shape.heads,
            kv_num_heads=self.shape.heads,
        )
        return self.reshape(attended, "matrix", -1, self.shape.dimension)

    def last_block(self, x: str, block: FoldedBlock, name: str) -> str:
        """The newest position of the last block, [1, d]; the only position that the answer needs."""
        self.graph.section = name
        self.layers = Fp32Layers(self.graph)
        newest = self.graph.node("Gather", x, self.graph.constant("newest", np.array([-1], np.int64)), axis=0)
        residual = self.norm(newest, block.norm1, f"{name}.norm1")
        return self.feed_forward(self.newest_attended(residual, x, block, name), block, name)

    def newest_attended(self, residual: str, x: str, block: FoldedBlock, name: str) -> str:
        """The residual and what the newest position attends to, [1, d]."""
        query = self.layers.dense(residual, block.query.weight, f"{name}.query", block.query.bias)
        return self.graph.node("Add", self.one_query_attention(query, x, block, name), residual)

    def one_query_attention(self, query: str, x: str, block: FoldedBlock, name: str) -> str:
        """Attention of one query [1, d] over x [time, d], without a key or value of any position.

        Row h of the [heads, d] matrices is head h: its part of the query, zeros elsewhere, times the key
        matrix is the vector that the head looks for; of its weighted sum times the value matrix its part
        counts.
        """
        graph, scale = self.graph, self.shape.head_dimension**-0.5
        parts = graph.constant(
            "head_parts",
            np.repeat(np.eye(self.shape.heads, dtype=np.float32), self.shape.head_dimension, axis=1),
        )
        sought = self.layers.dense(
            graph.node("Mul", query, parts), block.key.T * np.float32(scale), f"{name}.key"
        )
        added = [] if block.distance_bias is None else [self.newest_biases(block, name)]
        weights = graph.node("Softmax", graph.node("Gemm", sought, x, *added, transB=1), axis=-1)
        values = self.layers.dense(graph.node("MatMul", weights, x), block.value, f"{name}.value")
        rows = graph.constant("rows", np.array([0], np.int64))
        return graph.node("ReduceSum", graph.node("Mul", values, parts), rows, keepdims=1)

    def feed_forward(self, x: str, block: FoldedBlock, name: str) -> str:
        """LayerNorm, two dense layers and the residual."""
        residual = self.norm(x, block.norm2, f"{name}.norm2")
        hidden = self.layers.relu(residual, block.dense1, f"{name}.dense1")
        return self.layers.add(hidden, block.dense2, residual, f"{name}.dense2")

    def norm(self, x: str, norm: Norm, name: str) -> str:
        """LayerNormalization over the last axis."""
        scale = self.graph.constant(f"{name}.scale", norm.scale)
        bias = self.graph.constant(f"{name}.bias", norm.bias)
        return self.graph.node("LayerNormalization", x, scale, bias, epsilon=EPSILON)

    def reshape(self, x: str, name: str, *shape: int) -> str:
        """A view in another shape; nothing is copied."""
        return self.graph.node("Reshape", x, self.graph.constant(f"shape.{name}", np.array(shape, np.int64)))


class OneHeadEncoder(CpuEncoder):
    """Attention of one head: what a query looks for is one product, the positions themselves are the keys.

    The value matrix comes after the weighted sum, so that the residual is its Gemm's C.
    """

    def attended(self, residual: str, x: str, block: FoldedBlock, name: str) -> str:
        """The residual and what every position attends to."""
        sought, added = self.sought(residual, block, name), self.biases(block, name)
        mixed = self.attention(sought, x, x, added, causal=1)
        return self.layers.add(mixed, block.value, residual, f"{name}.value")

    def newest_attended(self, residual: str, x: str, block: FoldedBlock, name: str) -> str:
        """The residual and what the newest position attends to, [1, d]."""
        scale = self.shape.dimension**-0.5
        added = [] if block.distance_bias is None else [self.newest_biases(block, name)]
        sought = self.sought(residual, block, name)
        logits = self.graph.node("Gemm", sought, x, *added, transB=1, alpha=scale)
        mixed = self.graph.node("MatMul", self.graph.node("Softmax", logits, axis=-1), x)
        return self.layers.add(mixed, block.value, residual, f"{name}.value")

    def sought(self, residual: str, block: FoldedBlock, name: str) -> str:
        """The queries times the key matrix."""
        key = np.asarray(block.key, np.float64).T
        weight = np.asarray(block.query.weight @ key, np.float32)
        bias = np.asarray(block.query.bias @ key, np.float32)
        return self.layers.dense(residual, weight, f"{name}.sought", bias)


def author(weights: Weights) -> type[CpuEncoder]:
    """The encoder that fits the number of heads."""
    return OneHeadEncoder if weights.shape.heads == 1 else CpuEncoder


def cpu_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The fp32 encoder for batch 1 on a CPU."""
    return author(weights)(weights, tables).build()
