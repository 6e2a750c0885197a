"""Rounding to bfloat16 is exact, and the emulated encoder differs from the fp32 graph by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SMALL, histories, random_bundle_of
from test_bundled_model import BUNDLED

from marquee_onnx import bundle, sessions
from marquee_onnx.bf16 import Encoder, to_bf16
from marquee_onnx.errors import BundleError
from marquee_onnx.weights import POSITIONS, Shape

GRAPH = "encoder.cpu.onnx"


def of_bits(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint32).view(np.float32)


def bits_of(x: np.ndarray) -> list[int]:
    return x.view(np.uint32).tolist()


def by_hand(x: np.ndarray) -> np.ndarray:
    """The same on the bits: half a unit is added, less one where the last kept bit is 0."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x3F808000, 0x3F800000),  # a tie, the lower one is even
        (0x3F818000, 0x3F820000),  # a tie, the upper one is even
        (0x3F808001, 0x3F810000),  # above a tie
        (0x3F817FFF, 0x3F810000),  # below a tie
        (0xBF818000, 0xBF820000),  # a tie below zero
        (0x3FFF8000, 0x40000000),  # up into the next exponent
        (0x00008000, 0x00000000),  # subnormal, a tie
        (0x00018000, 0x00020000),
        (0x7F7F7FFF, 0x7F7F0000),  # the largest that stays finite
        (0x7F7F8000, 0x7F800000),  # the smallest that becomes infinite
        (0x7F800000, 0x7F800000),
        (0xFF800000, 0xFF800000),
        (0x80000000, 0x80000000),  # minus zero
    ],
)
def test_numbers_are_rounded_to_the_nearest_and_ties_to_even(bits, expected):
    assert bits_of(to_bf16(of_bits(bits))) == [expected]


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0xFFFFFFFF])
def test_what_is_no_number_stays_none(bits):
    assert np.isnan(to_bf16(of_bits(bits))).all()


def every_tie_and_many_others() -> np.ndarray:
    """Numbers of every exponent, on ties, just beside them, and anywhere; none of NaN."""
    kept = np.arange(0x10000, dtype=np.uint32) << 16
    random = np.random.default_rng(0).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    bits = np.concatenate([kept, kept + 0x7FFF, kept + 0x8000, kept + 0x8001, random])
    x = bits.view(np.float32)
    return x[~np.isnan(x)]


def test_rounding_is_that_of_the_bits():
    x = every_tie_and_many_others()
    assert np.array_equal(to_bf16(x).view(np.uint32), by_hand(x).view(np.uint32))


def test_rounding_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    x = every_tie_and_many_others()
    theirs = torch.from_numpy(x).to(torch.bfloat16).float().numpy()
    assert np.array_equal(to_bf16(x).view(np.uint32), theirs.view(np.uint32))


def unrounded(x: np.ndarray) -> np.ndarray:
    return x


def largest_error(folder, shape: Shape, rounded) -> float:
    """The largest difference from the fp32 graph, relative to its largest value, over every length."""
    session = sessions.open_session(folder / GRAPH)
    encoder = Encoder(folder / GRAPH, shape, rounded)

    def error(history: list[int]) -> float:
        expected = sessions.encode(session, history, shape.maximum_length)
        return float(np.abs(encoder.encode(history) - expected).max() / np.abs(expected).max())

    return max(map(error, histories(shape)))


def test_without_rounding_it_is_the_fp32_graph_at_every_length(small):
    folder, weights = small
    assert largest_error(folder, weights.shape, unrounded) < 1e-5


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("positions", POSITIONS)
def test_models_of_few_blocks_and_heads_are_the_fp32_graph_without_rounding(
    tmp_path, blocks, heads, positions
):
    shape = Shape(50, 8, maximum_length=6, heads=heads, blocks=blocks, positions=positions)
    folder, _ = random_bundle_of(shape, tmp_path / "few", "f32")
    assert largest_error(folder, shape, unrounded) < 1e-5


def test_the_bundled_model_is_the_fp32_graph_without_rounding():
    assert largest_error(BUNDLED, bundle.shape_of(bundle.read_manifest(BUNDLED)), unrounded) < 1e-5


def test_rounding_costs_what_eight_bits_of_mantissa_cost(small):
    folder, weights = small
    error = largest_error(folder, weights.shape, to_bf16)
    print(f"bf16: error {error:.1e}")
    assert 1e-4 < error < 3e-2


def test_a_longer_history_is_cut_to_its_newest_items(small):
    folder, weights = small
    encoder, long = Encoder(folder / GRAPH, weights.shape), histories(SMALL)[-1] * 2
    newest = long[-SMALL.maximum_length :]
    assert np.array_equal(encoder.encode(np.array(long)), encoder.encode(newest))


def test_a_graph_that_is_no_encoder_is_refused(tiny):
    encoder = Encoder(tiny / GRAPH, bundle.shape_of(bundle.read_manifest(tiny)))
    other = Encoder(tiny / "naive.scorer.cpu.onnx", encoder.shape)
    with pytest.raises(BundleError, match=r"has no block0\.norm1\.scale: write the bundle again"):
        other.encode([1, 2])


def test_a_file_that_is_no_graph_is_refused(tiny):
    (tiny / GRAPH).write_bytes(b"no graph")
    with pytest.raises(BundleError, match="no valid ONNX model"):
        Encoder(tiny / GRAPH, Shape(200, 16, 20, 2, 2))
