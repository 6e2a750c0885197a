"""`encoder.cuda.onnx` and `scorer.cuda.onnx`: fp16, any batch, every node with a CUDA kernel.

The encoder is fused as far as ONNX Runtime's CUDA kernels go: projection biases go into MultiHeadAttention,
and each residual addition with its LayerNorm and the bias before it is one SkipLayerNormalization, whose
fourth output, the sum, feeds the next block's keys and values. relu(a + b) = max(a, -b) + b makes the first
dense layer's bias and activation one Max; the constant b goes through the second layer into its bias.

The scorer takes out exclusions by writing -inf over their scores, and finds the best k in two steps: the k
groups of items with the largest maxima must hold the k best items, so only they are searched.

Every kernel takes its sizes by value, so that a captured CUDA graph can be replayed: GatherND copies its own
from host memory that is gone by then, which is why rows are picked by GatherElements. No node needs cuDNN:
ReduceMax would, so the maxima of the groups are a Max of slices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

from marquee_onnx.graphs.builder import CONTRIB, GraphBuilder, encoder_inputs, encoder_outputs
from marquee_onnx.tables import Table
from marquee_onnx.weights import Block, Floats, Norm, Weights

EPSILON = 1e-5
# CUDA kernels are registered up to some operator set; these graphs need nothing beyond 17.
OPSET = 17
LARGEST_K = 512
SMALLEST_GROUP = 8


class CudaEncoder:
    """Authors the graph; the body works on [batch, time, d] tensors of `dtype` (float32 only for tests)."""

    def __init__(self, weights: Weights, tables: Mapping[str, Table], dtype: DTypeLike = np.float16) -> None:
        self.weights = weights
        self.tables = tables
        self.dtype = np.dtype(dtype)
        self.element = np_dtype_to_tensor_dtype(self.dtype)
        self.graph = GraphBuilder("gsasrec_encoder_cuda", OPSET)

    def build(self) -> ModelProto:
        """The finished model."""
        graph, blocks = self.graph, self.weights.blocks
        x = self.embed()
        normed = graph.node("LayerNormalization", x, *self.norm(blocks[0].norm1, "norm1"), epsilon=EPSILON)
        for number, block in enumerate(blocks):
            newest_only = number + 1 == len(blocks)
            after = self.weights.final_norm if newest_only else blocks[number + 1].norm1
            normed, x = self.block(normed, x, block, after, f"block{number}", newest_only)
        graph.section = "output"
        user = graph.node("Reshape", normed, self.constant_shape("user", -1, self.weights.shape.dimension))
        graph.node("Cast", user, to=TensorProto.FLOAT)
        graph.rename(graph.nodes[-1].output[0], "user")
        return graph.model(encoder_inputs("batch"), encoder_outputs("batch", self.weights.shape.dimension))

    def embed(self) -> str:
        """Item and position rows added; item 0 wraps around to the last row, which nothing looks at."""
        index = self.graph.node("Sub", "items", self.graph.constant("one", np.array(1, np.int64)))
        return self.graph.node(
            "Add", self.rows("item_embedding", index), self.rows("position_embedding", "positions")
        )

    def rows(self, table: str, index: str) -> str:
        """Rows of a table in the body's type."""
        gathered = self.graph.node("Gather", self.graph.table(self.tables[table]), index)
        stored = TensorProto.FLOAT16 if self.tables[table].precision == "f16" else TensorProto.FLOAT
        return gathered if stored == self.element else self.graph.node("Cast", gathered, to=self.element)

    def block(
        self, normed: str, x: str, block: Block, after: Norm, name: str, newest_only: bool
    ) -> tuple[str, str]:
        """One block and the norm after it: returns (LayerNorm of the output, the output itself)."""
        graph, heads = self.graph, self.weights.shape.heads
        graph.section = name
        key = self.product(x, block.key.weight, f"{name}.key")
        value = self.product(x, block.value.weight, f"{name}.value")
        bias = self.cast(
            f"{name}.attention.bias", np.concatenate([block.query.bias, block.key.bias, block.value.bias])
        )
        if newest_only:
            normed = self.newest(normed)
            mask, causal = "lengths", 0
        else:
            mask, causal = "", 1
        query = self.product(normed, block.query.weight, f"{name}.query")
        attended = graph.node(
            "MultiHeadAttention",
            *(query, key, value, bias, mask) if mask else (query, key, value, bias),
            domain=CONTRIB,
            num_heads=heads,
            unidirectional=causal,
        )
        z = graph.node(
            "SkipLayerNormalization",
            attended,
            normed,
            *self.norm(block.norm2, f"{name}.norm2"),
            domain=CONTRIB,
            epsilon=EPSILON,
        )
        hidden = graph.node(
            "Max",
            self.product(z, block.dense1.weight, f"{name}.dense1"),
            self.cast(f"{name}.dense1.floor", -block.dense1.bias),
        )
        bias2 = (
            block.dense2.bias.astype(np.float64) + block.dense1.bias.astype(np.float64) @ block.dense2.weight
        )
        outputs = graph.nodes_out(
            "SkipLayerNormalization",
            [f"{name}.normed", "", "", f"{name}.sum"],
            self.product(hidden, block.dense2.weight, f"{name}.dense2"),
            z,
            *self.norm(after, f"{name}.after"),
            self.cast(f"{name}.dense2.bias", bias2),
            domain=CONTRIB,
            epsilon=EPSILON,
        )
        return outputs[0], outputs[3]

    def newest(self, x: str) -> str:
        """The row of each sequence's newest item, as [batch, 1, d]."""
        graph = self.graph
        last = graph.node(
            "Sub",
            graph.node("Cast", "lengths", to=TensorProto.INT64),
            graph.constant("one", np.array(1, np.int64)),
        )
        index = graph.node("Reshape", last, self.constant_shape("index", -1, 1, 1))
        width = self.constant_shape("width", 1, 1, self.weights.shape.dimension)
        return graph.node("GatherElements", x, graph.node("Expand", index, width), axis=1)

    def product(self, x: str, weight: Floats, name: str) -> str:
        """`x @ weight`."""
        return self.graph.node("MatMul", x, self.cast(f"{name}.weight", weight))

    def norm(self, norm: Norm, name: str) -> tuple[str, str]:
        """Scale and bias."""
        return self.cast(f"{name}.scale", norm.scale), self.cast(f"{name}.bias", norm.bias)

    def cast(self, name: str, array: Floats) -> str:
        """A constant in the body's type."""
        return self.graph.constant(name, np.asarray(array, self.dtype))

    def constant_shape(self, name: str, *sizes: int) -> str:
        """A constant target of Reshape."""
        return self.graph.constant(f"shape.{name}", np.array(sizes, np.int64))


def cuda_encoder(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The fp16 encoder for CUDA."""
    return CudaEncoder(weights, tables).build()


def group_size(items: int) -> int:
    """Items a group: a power of two that balances the two searches; 1, so no groups, in small catalogues."""
    size = 1
    while (2 * size) ** 2 * LARGEST_K <= 2 * items:
        size *= 2
    return size if size >= SMALLEST_GROUP else 1


class CudaScorer:
    """Authors the scorer; scores are [batch, items] of `dtype` (float32 only for tests)."""

    def __init__(self, weights: Weights, tables: Mapping[str, Table], dtype: DTypeLike = np.float16) -> None:
        self.shape = weights.shape
        self.table = tables["output_embedding"]
        self.dtype = np.dtype(dtype)
        self.element = np_dtype_to_tensor_dtype(self.dtype)
        self.group = group_size(self.shape.items)
        self.graph = GraphBuilder("gsasrec_scorer_cuda", OPSET)

    def build(self) -> ModelProto:
        """The finished model."""
        graph = self.graph
        graph.section = "scores"
        scores = self.allowed_scores()
        graph.section = "selection"
        best, rows = self.best(scores) if self.group == 1 else self.best_of_best_groups(scores)
        scores = graph.node("Cast", best, to=TensorProto.FLOAT)
        graph.rename(scores, "scores")
        nothing = graph.node("Equal", "scores", graph.constant("nothing", np.array(-np.inf, np.float32)))
        items = graph.node("Add", rows, graph.constant("one", np.array(1, np.int64)))
        graph.node("Where", nothing, graph.constant("no_item", np.array(0, np.int64)), items)
        graph.rename(graph.nodes[-1].output[0], "items")
        inputs = [
            make_tensor_value_info("user", TensorProto.FLOAT, ["batch", self.shape.dimension]),
            make_tensor_value_info("excluded", TensorProto.INT64, ["batch", "exclusions"]),
            make_tensor_value_info("k", TensorProto.INT64, [1]),
        ]
        outputs = [
            make_tensor_value_info("items", TensorProto.INT64, ["batch", "best"]),
            make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "best"]),
        ]
        return graph.model(inputs, outputs)

    def allowed_scores(self) -> str:
        """Scores with -inf for exclusions, padded with -inf to whole groups and at least one column.

        An exclusion of 0 becomes index -1, the last column, which is padding.
        """
        graph = self.graph
        minus_infinity = graph.constant("minus_infinity", np.array(-np.inf, self.dtype))
        table = graph.table(self.table)
        stored = TensorProto.FLOAT16 if self.table.precision == "f16" else TensorProto.FLOAT
        if stored != self.element:
            table = graph.node("Cast", table, to=self.element)
        user = "user" if self.element == TensorProto.FLOAT else graph.node("Cast", "user", to=self.element)
        scores = graph.node("Gemm", user, table, transB=1)
        padding = self.group - self.shape.items % self.group
        pads = graph.constant("pads", np.array([0, 0, 0, padding], np.int64))
        scores = graph.node("Pad", scores, pads, minus_infinity)
        index = graph.node("Sub", "excluded", graph.constant("one", np.array(1, np.int64)))
        always = graph.node("Equal", "excluded", "excluded")
        blanks = graph.node("Where", always, minus_infinity, minus_infinity)
        return graph.node("ScatterElements", scores, index, blanks, axis=1)

    def best(self, scores: str) -> tuple[str, str]:
        """The k best of each row, and their columns."""
        best, columns = self.graph.nodes_out("TopK", 2, scores, "k", axis=1)
        return best, columns

    def best_of_best_groups(self, scores: str) -> tuple[str, str]:
        """The same, by way of the k groups with the largest maxima.

        With G groups, group g holds the columns g, G + g, 2G + g, …: the maxima are then a Max of slices.
        """
        graph, size = self.graph, self.group
        groups = -(-(self.shape.items + 1) // size)
        grouped = graph.node("Reshape", scores, self.constant_shape("groups", -1, size, groups))
        maxima = graph.node("Max", *graph.nodes_out("Split", size, grouped, axis=1))
        _, chosen = self.best(graph.node("Reshape", maxima, self.constant_shape("maxima", -1, groups)))
        index = graph.node("Unsqueeze", chosen, graph.constant("middle_axis", np.array([1], np.int64)))
        members = graph.node("Expand", index, self.constant_shape("members", 1, size, 1))
        candidates = graph.node("GatherElements", grouped, members, axis=2)
        by_group = graph.node("Transpose", candidates, perm=[0, 2, 1])
        flat = graph.node("Reshape", by_group, self.constant_shape("candidates", 0, -1))
        best, columns = self.best(flat)
        group = graph.constant("group", np.array(size, np.int64))
        slot = graph.node("Div", columns, group)
        member = graph.node("Sub", columns, graph.node("Mul", slot, group))
        first = graph.node("Mul", member, graph.constant("groups", np.array(groups, np.int64)))
        return best, graph.node("Add", first, graph.node("GatherElements", chosen, slot, axis=1))

    def constant_shape(self, name: str, *sizes: int) -> str:
        """A constant target of Reshape."""
        return self.graph.constant(f"shape.{name}", np.array(sizes, np.int64))


def cuda_scorer(weights: Weights, tables: Mapping[str, Table]) -> ModelProto:
    """The fp16 scorer for CUDA."""
    return CudaScorer(weights, tables).build()
