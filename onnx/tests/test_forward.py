import numpy as np
import pytest

from marquee_onnx import forward, reference
from marquee_onnx.random_bundle import random_weights
from marquee_onnx.weights import POSITIONS, Shape


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_batched_forward_agrees_with_the_float64_reference_on_ragged_histories(positions):
    shape = Shape(items=50, dimension=16, maximum_length=12, heads=2, blocks=3, positions=positions)
    weights = random_weights(shape, seed=3)
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, 51, n).astype(np.int32) for n in (1, 2, 5, 11, 12, 13, 30)]
    expected = np.stack([reference.encode(weights, history.tolist()) for history in histories])
    np.testing.assert_allclose(forward.encode(weights, histories), expected, rtol=1e-4, atol=1e-5)
