"""The graphs that the benches compare with: what one writes first.

The encoder is the network as it is written down, from ONNX Runtime's fused contrib operators, with the last
block attending from the last position only; the scorer is one product over the whole catalogue and one TopK.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor_value_info

from marquee_onnx.graphs.builder import CONTRIB, GraphBuilder, encoder_inputs, encoder_outputs
from marquee_onnx.graphs.folding import fold
from marquee_onnx.tables import Table
from marquee_onnx.weights import Block, Dense, Floats, Norm, Weights

EPSILON = 1e-5


class NaiveEncoder:
    """Authors the graph; the body works on [1, time, d] tensors."""

    def __init__(self, weights: Weights, tables: Mapping[str, Table]) -> None:
        self.weights = weights
        self.tables = tables
        self.graph = GraphBuilder("gsasrec_encoder_naive")

    def build(self) -> ModelProto:
        """The finished model."""
        graph, dimension = self.graph, self.weights.shape.dimension
        index = graph.node("Sub", "items", graph.constant("one", np.array(1, np.int64)))
        x = self.rows("item_embedding", index)
        if self.weights.shape.positions == "right":
            x = graph.node("Add", x, self.rows("position_embedding", "positions"))
        last = len(self.weights.blocks) - 1
        for number, block in enumerate(self.weights.blocks):
            x = self.block(x, block, f"block{number}", last_only=number == last)
        graph.section = "output"
        norm = self.weights.final_norm
        x = graph.node("LayerNormalization", x, *self.norm_constants(norm, "final_norm"), epsilon=EPSILON)
        graph.node("Reshape", x, graph.constant("shape.user", np.array([1, dimension], np.int64)))
        graph.rename(graph.nodes[-1].output[0], "user")
        return graph.model(encoder_inputs(1), encoder_outputs(1, dimension))

    def rows(self, table: str, index: str) -> str:
        """Rows of a table as float32."""
        gathered = self.graph.node("Gather", self.graph.table(self.tables[table]), index)
        if self.tables[table].precision == "f16":
            return self.graph.node("Cast", gathered, to=TensorProto.FLOAT)
        return gathered

    def block(self, x: str, block: Block, name: str, last_only: bool) -> str:
        """One block; `last_only` keeps the last position of queries and drops the causal mask."""
        graph = self.graph
        graph.section = name
        source = x
        if last_only:
            x = graph.node("Gather", x, graph.constant("newest", np.array([-1], np.int64)), axis=1)
        residual = graph.node(
            "LayerNormalization", x, *self.norm_constants(block.norm1, f"{name}.norm1"), epsilon=EPSILON
        )
        attention = graph.node(
            "MultiHeadAttention",
            self.product(residual, block.query, f"{name}.query"),
            self.product(source, block.key, f"{name}.key"),
            self.product(source, block.value, f"{name}.value"),
            graph.constant(
                f"{name}.attention.bias",
                np.concatenate([block.query.bias, block.key.bias, block.value.bias]).astype(np.float32),
            ),
            *self.biases(block, name, last_only),
            domain=CONTRIB,
            num_heads=self.weights.shape.heads,
            unidirectional=int(not last_only),
        )
        z = graph.node(
            "SkipLayerNormalization",
            attention,
            residual,
            *self.norm_constants(block.norm2, f"{name}.norm2"),
            domain=CONTRIB,
            epsilon=EPSILON,
        )
        hidden = graph.node("Relu", self.dense(z, block.dense1, f"{name}.dense1"))
        return graph.node("Add", z, self.dense(hidden, block.dense2, f"{name}.dense2"))

    def biases(self, block: Block, name: str, last_only: bool) -> list[str]:
        """What the operator is told to add to its logits, behind inputs that it is not given."""
        if block.distance_bias is None:
            return []
        graph, biases = self.graph, fold(block).biases()[None]
        if last_only:
            newest = graph.constant(f"{name}.distance_bias", biases[:, :, -1:])
            position = graph.node("Squeeze", "positions", self.axis(0))
            return ["", graph.node("Gather", newest, position, axis=3)]
        added = graph.constant(f"{name}.distance_bias", biases)
        first = graph.constant("first", np.array([0], np.int64))
        time = graph.node("Shape", "positions", start=1, end=2)
        for axis in (2, 3):
            added = graph.node("Slice", added, first, time, self.axis(axis))
        return ["", added]

    def axis(self, number: int) -> str:
        """A constant list of one axis."""
        return self.graph.constant(f"axis{number}", np.array([number], np.int64))

    def norm_constants(self, norm: Norm, name: str) -> tuple[str, str]:
        """Scale and bias."""
        return (
            self.graph.constant(f"{name}.scale", np.asarray(norm.scale, np.float32)),
            self.graph.constant(f"{name}.bias", np.asarray(norm.bias, np.float32)),
        )

    def product(self, x: str, layer: Dense, name: str) -> str:
        """`x @ weight`; the bias goes elsewhere."""
        weight: Floats = np.asarray(layer.weight, np.float32)
        return self.graph.node("MatMul", x, self.graph.constant(f"{name}.weight", weight))

    def dense(self, x: str, layer: Dense, name: str) -> str:
        """`x @ weight + bias`."""
        bias = self.graph.constant(f"{name}.bias", np.asarray(layer.bias, np.float32))
        return self.graph.node("Add", self.product(x, layer, name), bias)


def naive_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The comparison encoder, fp32, batch 1."""
    return NaiveEncoder(weights, tables).build()


def naive_scorer(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """One fp32 product over all items and one TopK; inputs `user` and `k`, outputs `scores` and `items`."""
    graph = GraphBuilder("gsasrec_scorer_naive")
    graph.section = "scores"
    table = graph.table(tables["output_embedding"])
    if tables["output_embedding"].precision == "f16":
        table = graph.node("Cast", table, to=TensorProto.FLOAT)
    scores = graph.node("Gemm", "user", table, transB=1)
    _, rows = graph.nodes_out("TopK", ["scores", "rows"], scores, "k", axis=-1)
    graph.node("Add", rows, graph.constant("one", np.array(1, np.int64)))
    graph.rename(graph.nodes[-1].output[0], "items")
    inputs = [
        make_tensor_value_info("user", TensorProto.FLOAT, ["batch", weights.shape.dimension]),
        make_tensor_value_info("k", TensorProto.INT64, [1]),
    ]
    outputs = [
        make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "best"]),
        make_tensor_value_info("items", TensorProto.INT64, ["batch", "best"]),
    ]
    return graph.model(inputs, outputs)
