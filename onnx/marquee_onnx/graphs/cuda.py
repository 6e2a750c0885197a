"""`encoder.cuda.onnx` and `scorer.cuda.onnx`: fp16, any batch, every node with a CUDA kernel.

A large batch is bound by memory: what counts is how often a [batch, time, d] tensor is read or written.

- Biases are folded (`folding.py`): keys and values have none, and attention reads the products as they are.
- Each residual addition with its LayerNorm is one SkipLayerNormalization, whose fourth output, the sum, feeds
  the next block's keys and values. The first of them adds the positions to the items.
- relu(a + b) = max(a, -b) + b makes the first dense layer's bias and activation one Max; the constant b goes
  through the second layer into its bias.
- The last block has one query, so its key and value matrices are applied to the query and to the weighted sum
  of the positions, head by head, and not to every position (as on the CPU, see `cpu.py`).
- Tables are cast to fp16 as a whole, which ONNX Runtime does once, when a session is made.

The scorer takes out exclusions by writing -inf over their scores, and finds the best k in two steps: the k
groups of items with the largest maxima must hold the k best items, so only they are searched. Its table is
filled up to whole groups with rows of zeros, whose scores are taken out like exclusions.

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
from marquee_onnx.graphs.folding import FoldedBlock, fold
from marquee_onnx.tables import Table
from marquee_onnx.weights import Dense, Floats, Norm, Weights

EPSILON = 1e-5
# CUDA kernels are registered up to some operator set; these graphs need nothing beyond 17.
OPSET = 17
LARGEST_K = 512
SMALLEST_GROUP = 8
# Added to the logit of a position that is padding; fp16 goes down to -65504.
HIDDEN = -60_000.0


class CudaEncoder:
    """Authors the graph; the body works on [batch, time, d] tensors of `dtype` (float32 only for tests)."""

    def __init__(self, weights: Weights, tables: Mapping[str, Table], dtype: DTypeLike = np.float16) -> None:
        self.weights = weights
        self.shape = weights.shape
        self.tables = tables
        self.dtype = np.dtype(dtype)
        self.element = np_dtype_to_tensor_dtype(self.dtype)
        self.graph = GraphBuilder("gsasrec_encoder_cuda", OPSET)

    def build(self) -> ModelProto:
        """The finished model."""
        graph = self.graph
        blocks = [fold(block) for block in self.weights.blocks]
        after = [*(block.norm1 for block in blocks[1:]), self.weights.final_norm]
        normed, x = self.embed(blocks[0].norm1)
        for number, block in enumerate(blocks[:-1]):
            normed, x = self.full_block(normed, x, block, after[number], f"block{number}")
        user = self.last_block(normed, x, blocks[-1], after[-1], f"block{len(blocks) - 1}")
        graph.section = "output"
        user = graph.node("Reshape", user, self.constant_shape("user", -1, self.shape.dimension))
        graph.node("Cast", user, to=TensorProto.FLOAT)
        graph.rename(graph.nodes[-1].output[0], "user")
        return graph.model(encoder_inputs("batch"), encoder_outputs("batch", self.shape.dimension))

    def embed(self, norm: Norm) -> tuple[str, str]:
        """Item and position rows added: their LayerNorm and the sum itself.

        Item 0 wraps around to the last row, which nothing looks at.
        """
        graph = self.graph
        index = graph.node("Sub", "items", graph.constant("one", np.array(1, np.int64)))
        items = graph.node("Gather", table(graph, self.tables["item_embedding"], self.element), index)
        if self.shape.positions == "bias":
            scale, bias = self.norm(norm, "norm1")
            return graph.node("LayerNormalization", items, scale, bias, epsilon=EPSILON), items
        positions = table(graph, self.tables["position_embedding"], self.element)
        return self.sum_and_norm(items, graph.node("Gather", positions, "positions"), norm, "norm1")

    def full_block(self, normed: str, x: str, block: FoldedBlock, after: Norm, name: str) -> tuple[str, str]:
        """All positions of one block and the norm after it: (LayerNorm of the output, the output itself)."""
        self.graph.section = name
        attended = self.graph.node(
            "MultiHeadAttention",
            self.dense(normed, block.query, f"{name}.query"),
            self.product(x, block.key, f"{name}.key"),
            self.product(x, block.value, f"{name}.value"),
            *self.biases(block, name),
            domain=CONTRIB,
            num_heads=self.shape.heads,
            unidirectional=1,
        )
        return self.feed_forward(attended, normed, block, after, name)

    def biases(self, block: FoldedBlock, name: str) -> list[str]:
        """What attention adds to its logits, [1, heads, time, time], behind inputs that it is not given."""
        if block.distance_bias is None:
            return []
        graph, added = self.graph, self.cast(f"{name}.distance_bias", block.biases()[None])
        first = graph.constant("first_position", np.array([0], np.int64))
        time = graph.node("Shape", "positions", start=1, end=2)
        for axis in (2, 3):
            axes = graph.constant(f"axis{axis}", np.array([axis], np.int64))
            added = graph.node("Slice", added, first, time, axes)
        return ["", "", added]

    def newest_biases(self, block: FoldedBlock, name: str) -> str:
        """What is added to the logits of each sequence's newest position, [batch, heads, time]."""
        biases = self.cast(f"{name}.distance_bias", block.biases()[:, -1])
        return self.graph.node(
            "Transpose", self.graph.node("Gather", biases, "positions", axis=1), perm=[1, 0, 2]
        )

    def last_block(self, normed: str, x: str, block: FoldedBlock, after: Norm, name: str) -> str:
        """The newest position of the last block and the norm after it, [batch, 1, d]: all that is needed."""
        self.graph.section = name
        normed = self.newest(normed)
        attended = self.one_query_attention(self.dense(normed, block.query, f"{name}.query"), x, block, name)
        return self.feed_forward(attended, normed, block, after, name)[0]

    def one_query_attention(self, query: str, x: str, block: FoldedBlock, name: str) -> str:
        """Attention of one query a sequence, [batch, 1, d], over x without a key or value of any position."""
        graph, heads, width = self.graph, self.shape.heads, self.shape.head_dimension
        dimension = self.shape.dimension
        parts = graph.node("Reshape", query, self.constant_shape("parts", -1, heads, width))
        keys = (block.key.T * np.float32(width**-0.5)).reshape(heads, width, dimension)
        sought = self.by_head(parts, keys, f"{name}.key")
        logits = graph.node("FusedMatMul", sought, x, domain=CONTRIB, transB=1)
        if block.distance_bias is not None:
            logits = graph.node("Add", logits, self.newest_biases(block, name))
        weights = graph.node("Softmax", graph.node("Add", logits, self.padding_mask()), axis=-1)
        values = block.value.reshape(dimension, heads, width).transpose(1, 0, 2)
        attended = self.by_head(graph.node("MatMul", weights, x), values, f"{name}.value")
        return graph.node("Reshape", attended, self.constant_shape("newest", -1, 1, dimension))

    def by_head(self, x: str, weights: Floats, name: str) -> str:
        """[batch, heads, ..] times a matrix of its own for each head."""
        by_head = self.graph.node("Transpose", x, perm=[1, 0, 2])
        return self.graph.node("Transpose", self.product(by_head, weights, name), perm=[1, 0, 2])

    def padding_mask(self) -> str:
        """[batch, 1, time]: what takes padding, whose item is 0, out of a softmax."""
        graph = self.graph
        padding = graph.node("Equal", "items", graph.constant("no_item", np.array(0, np.int64)))
        hidden = self.cast("hidden", np.array(HIDDEN))
        mask = graph.node("Where", padding, hidden, self.cast("shown", np.array(0.0)))
        return graph.node("Unsqueeze", mask, graph.constant("middle_axis", np.array([1], np.int64)))

    def feed_forward(
        self, attended: str, residual: str, block: FoldedBlock, after: Norm, name: str
    ) -> tuple[str, str]:
        """What follows attention, and the norm after it: (LayerNorm of the output, the output itself)."""
        graph = self.graph
        z = graph.node(
            "SkipLayerNormalization",
            *(attended, residual, *self.norm(block.norm2, f"{name}.norm2")),
            domain=CONTRIB,
            epsilon=EPSILON,
        )
        hidden = graph.node(
            "Max",
            self.product(z, block.dense1.weight, f"{name}.dense1"),
            self.cast(f"{name}.dense1.floor", -block.dense1.bias),
        )
        constant = np.asarray(block.dense1.bias, np.float64) @ block.dense2
        output = self.product(hidden, block.dense2, f"{name}.dense2")
        return self.sum_and_norm(output, z, after, f"{name}.after", constant)

    def sum_and_norm(
        self, x: str, y: str, norm: Norm, name: str, constant: Floats | None = None
    ) -> tuple[str, str]:
        """(LayerNorm of x + y + constant, the sum itself)."""
        bias = [] if constant is None else [self.cast(f"{name}.constant", constant)]
        outputs = [f"{name}.normed", "", "", f"{name}.sum"]
        inputs = [x, y, *self.norm(norm, name), *bias]
        self.graph.nodes_out("SkipLayerNormalization", outputs, *inputs, domain=CONTRIB, epsilon=EPSILON)
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
        width = self.constant_shape("width", 1, 1, self.shape.dimension)
        return graph.node("GatherElements", x, graph.node("Expand", index, width), axis=1)

    def dense(self, x: str, layer: Dense, name: str) -> str:
        """`x @ weight + bias`."""
        bias = self.cast(f"{name}.bias", layer.bias)
        return self.graph.node("Add", self.product(x, layer.weight, name), bias)

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


def table(graph: GraphBuilder, stored: Table, element: int) -> str:
    """A table of the bundle in the body's type."""
    name = graph.table(stored)
    is_stored = element == (TensorProto.FLOAT16 if stored.precision == "f16" else TensorProto.FLOAT)
    return name if is_stored else graph.node("Cast", name, to=element)


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
        """Scores of whole groups of columns, one or more beyond the items; -inf there and for exclusions.

        An exclusion of 0 becomes index -1, the last column, which is no item's.
        """
        graph = self.graph
        minus_infinity = graph.constant("minus_infinity", np.array(-np.inf, self.dtype))
        beyond = self.group - self.shape.items % self.group
        zeros = graph.constant("zeros", np.zeros((beyond, self.shape.dimension), self.dtype))
        columns = graph.node("Concat", table(graph, self.table, self.element), zeros, axis=0)
        user = "user" if self.element == TensorProto.FLOAT else graph.node("Cast", "user", to=self.element)
        scores = graph.node("Gemm", user, columns, transB=1)
        index = graph.node("Concat", self.excluded_columns(), self.columns_beyond(beyond), axis=1)
        always = graph.node("Equal", index, index)
        blanks = graph.node("Where", always, minus_infinity, minus_infinity)
        return graph.node("ScatterElements", scores, index, blanks, axis=1)

    def excluded_columns(self) -> str:
        """[batch, exclusions]."""
        return self.graph.node("Sub", "excluded", self.graph.constant("one", np.array(1, np.int64)))

    def columns_beyond(self, count: int) -> str:
        """[batch, count]: the columns behind the items'. The batch comes from any input, times zero."""
        graph = self.graph
        first = graph.constant("first", np.array([0], np.int64))
        any_column = graph.node("Gather", "excluded", first, axis=1)
        zero = graph.node("Mul", any_column, graph.constant("zero", np.array(0, np.int64)))
        beyond = np.arange(self.shape.items, self.shape.items + count, dtype=np.int64)
        return graph.node("Add", zero, graph.constant("beyond", beyond[None]))

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
