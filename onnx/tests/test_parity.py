"""Every graph against the float64 reference, at every length.

The CUDA graphs run here on the CPU provider, which casts fp16 around the operators that it has in fp32 only:
that holds their arithmetic, not their CUDA kernels.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import SMALL, histories, random_bundle_of

from marquee_onnx import metrics, reference, sessions, tables
from marquee_onnx.graphs.cuda import CudaEncoder, CudaScorer, group_size
from marquee_onnx.weights import POSITIONS, Shape


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def reference_users(weights, of: list[list[int]]) -> np.ndarray:
    return np.stack([reference.encode(weights, history) for history in of])


def overlap(weights, got: np.ndarray, expected: np.ndarray) -> float:
    """The share of the ten best unseen items by the exact vectors that the others find too."""
    seen = [np.array(history) for history in histories(SMALL)]
    best = [metrics.top_items(np.float32(u @ weights.output_embedding.T), seen, 10) for u in (got, expected)]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(*best, strict=True)]))


@pytest.mark.parametrize("file", ["encoder.cpu.onnx", "naive.encoder.cpu.onnx"])
def test_fp32_encoders_equal_the_left_padded_reference_at_every_length(small, file):
    folder, weights = small
    session = sessions.open_session(folder / file)
    for history in histories(SMALL):
        got = sessions.encode(session, history, SMALL.maximum_length)
        assert relative_error(got, reference.encode(weights, history)) < 1e-5, len(history)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("positions", POSITIONS)
def test_models_of_few_blocks_and_heads_equal_the_reference(tmp_path, blocks, heads, positions):
    shape = Shape(50, 8, maximum_length=6, heads=heads, blocks=blocks, positions=positions)
    folder, weights = random_bundle_of(shape, tmp_path / "few", "f32")
    tolerances = {"encoder.cpu.onnx": 1e-5, "encoder.cpu.int8.onnx": 0.1, "encoder.cuda.onnx": 0.01}
    for file, tolerance in tolerances.items():
        session = sessions.open_session(folder / file)
        for history in histories(shape):
            got = sessions.encode(session, history, shape.maximum_length)
            assert relative_error(got, reference.encode(weights, history)) < tolerance, (file, len(history))


def test_a_longer_history_is_cut_to_its_newest_items(small):
    folder, weights = small
    long = histories(SMALL)[-1] * 2
    session = sessions.open_session(folder / "encoder.cpu.onnx")
    got = sessions.encode(session, [7, *long], SMALL.maximum_length)
    assert relative_error(got, reference.encode(weights, long)) < 1e-5


def test_the_int8_encoder_stays_near_the_reference(small, record_property):
    folder, weights = small
    session = sessions.open_session(folder / "encoder.cpu.int8.onnx")
    got = np.stack([sessions.encode(session, h, SMALL.maximum_length) for h in histories(SMALL)])
    expected = reference_users(weights, histories(SMALL))
    shared = overlap(weights, got, expected)
    record_property("int8 top-10 overlap", shared)
    print(f"int8: error {relative_error(got, expected):.1e}, top-10 overlap {shared:.3f}")
    assert relative_error(got, expected) < 0.05
    assert shared > 0.9


def test_the_fp16_encoder_equals_the_reference_on_one_ragged_batch(small, record_property):
    folder, weights = small
    session = sessions.open_session(folder / "encoder.cuda.onnx")
    (got,) = session.run(["user"], sessions.encoder_feed(histories(SMALL), SMALL.maximum_length))
    expected = reference_users(weights, histories(SMALL))
    shared = overlap(weights, got, expected)
    record_property("fp16 top-10 overlap", shared)
    print(f"fp16: error {relative_error(got, expected):.1e}, top-10 overlap {shared:.3f}")
    assert relative_error(got, expected) < 2e-3
    assert shared > 0.98


def test_the_cuda_encoder_authored_in_fp32_equals_the_reference_on_one_ragged_batch(small):
    folder, weights = small
    model = CudaEncoder(weights, tables.locate(folder / tables.FILE), np.float32).build()
    onnx.save(model, folder / ".fp32.onnx")
    session = sessions.open_session(folder / ".fp32.onnx")
    (got,) = session.run(["user"], sessions.encoder_feed(histories(SMALL), SMALL.maximum_length))
    assert relative_error(got, reference_users(weights, histories(SMALL))) < 1e-5


def test_padding_does_not_change_a_batched_answer(small):
    folder, _ = small
    session = sessions.open_session(folder / "encoder.cuda.onnx")
    few = [histories(SMALL)[2], histories(SMALL)[4]]
    (narrow,) = session.run(["user"], sessions.encoder_feed(few, SMALL.maximum_length))
    (wide,) = session.run(["user"], sessions.encoder_feed([*few, histories(SMALL)[-1]], SMALL.maximum_length))
    assert relative_error(wide[:2], narrow) < 2e-3


def test_the_naive_scorer_returns_the_best_items_of_the_reference(small):
    folder, weights = small
    users = reference_users(weights, histories(SMALL))
    session = sessions.open_session(folder / "naive.scorer.cpu.onnx")
    scores, items = session.run(["scores", "items"], {"user": users.astype(np.float32), "k": np.array([10])})
    expected = np.stack([reference.score(weights, user) for user in users])
    assert np.array_equal(items, np.argsort(-expected, axis=1, kind="stable")[:, :10] + 1)
    assert relative_error(scores, np.take_along_axis(expected, items - 1, axis=1)) < 1e-5


def exclusions(of: list[list[int]]) -> np.ndarray:
    padded = np.zeros((len(of), max(map(len, of))), np.int64)
    for row, history in enumerate(of):
        padded[row, : len(history)] = history
    return padded


@pytest.mark.parametrize("items", [300, 33_000])
def test_the_cuda_scorer_authored_in_fp32_finds_exactly_the_best_that_are_left(tmp_path, items):
    shape = Shape(items=items, dimension=8, maximum_length=30, heads=1, blocks=1)
    assert (group_size(items) > 1) == (items > 300)
    folder, weights = random_bundle_of(shape, tmp_path / "scored", "f32")
    model = CudaScorer(weights, tables.locate(folder / tables.FILE), np.float32).build()
    onnx.save(model, folder / ".fp32.onnx")
    users = reference_users(weights, histories(shape)).astype(np.float32)
    feed = {"user": users, "excluded": exclusions(histories(shape)), "k": np.array([100])}
    got, _ = sessions.open_session(folder / ".fp32.onnx").run(["items", "scores"], feed)
    expected = metrics.top_items(
        users @ weights.output_embedding.T, [np.array(h) for h in histories(shape)], 100
    )
    assert np.mean(got == expected) > 0.999
    assert all(set(a) == set(b) for a, b in zip(got, expected, strict=True))


def test_the_cuda_scorer_never_returns_what_is_excluded_and_says_0_when_nothing_is_left(small):
    folder, weights = small
    user = reference_users(weights, histories(SMALL)[:2]).astype(np.float32)
    everything_but_two = np.arange(3, SMALL.items + 1)[None].repeat(2, axis=0)
    session = sessions.open_session(folder / "scorer.cuda.onnx")
    feed = {"user": user, "excluded": everything_but_two, "k": np.array([5])}
    items, scores = session.run(["items", "scores"], feed)
    assert np.array_equal(np.sort(items[:, :2]), [[1, 2], [1, 2]])
    assert np.array_equal(items[:, 2:], np.zeros((2, 3)))
    assert np.isneginf(scores[:, 2:]).all()


def test_the_fp16_scorer_finds_what_exact_scores_find(small):
    folder, weights = small
    users = reference_users(weights, histories(SMALL)).astype(np.float32)
    feed = {"user": users, "excluded": exclusions(histories(SMALL)), "k": np.array([10])}
    items, _ = sessions.open_session(folder / "scorer.cuda.onnx").run(["items", "scores"], feed)
    seen = [np.array(history) for history in histories(SMALL)]
    expected = metrics.top_items(users @ weights.output_embedding.T, seen, 10)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(items, expected, strict=True)]) > 0.99


@pytest.mark.parametrize("positions", POSITIONS)
def test_no_node_of_the_cuda_graphs_copies_sizes_from_the_host_or_needs_cudnn(tmp_path, positions):
    """A replayed CUDA graph would read GatherND's sizes from memory that is gone; reductions need cuDNN."""
    shape = Shape(33_000, dimension=8, maximum_length=6, heads=1, blocks=2, positions=positions)
    folder, weights = random_bundle_of(shape, tmp_path / "listed", "f16")
    located = tables.locate(folder / tables.FILE)
    authors = (CudaEncoder, CudaScorer)
    operators = {n.op_type for author in authors for n in author(weights, located).build().graph.node}
    attention = {"MultiHeadAttention", "SkipLayerNormalization", "Softmax", "MatMul", "FusedMatMul", "Gemm"}
    picking = {"Gather", "GatherElements", "ScatterElements", "TopK", "Where", "Expand", "Split"}
    views = {"Reshape", "Transpose", "Unsqueeze", "Concat"}
    if positions == "bias":
        # A shape is known when a graph is captured, and a slice takes its bounds by value.
        attention.add("LayerNormalization")
        views |= {"Shape", "Slice"}
    assert operators <= attention | picking | views | {"Add", "Sub", "Mul", "Div", "Max", "Equal", "Cast"}


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_tables_are_cast_and_filled_up_once_when_a_session_is_made(tmp_path, precision):
    shape = Shape(items=33_000, dimension=8, maximum_length=6, heads=2, blocks=2)
    folder, _ = random_bundle_of(shape, tmp_path / "folded", precision)
    for file in ("encoder.cuda.onnx", "scorer.cuda.onnx"):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"optimised.{file}")
        onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath, load_external_data=False).graph
        sizes = {constant.name: constant.dims for constant in graph.initializer}
        large = {name for name, dims in sizes.items() if list(dims)[:1] >= [shape.items]}
        users = [node.op_type for node in graph.node if large & set(node.input)]
        assert users == ["Gather" if file.startswith("encoder") else "Gemm"]
