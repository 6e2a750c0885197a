"""Weights that are read from a bundle answer as the bundle does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import SMALL, histories, random_bundle_of

from marquee_onnx import forward, unfold
from marquee_onnx.weights import POSITIONS, from_state_dict, to_state_dict


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("heads", "blocks"), [(1, 1), (1, 3), (4, 2)])
def test_a_bundle_gives_weights_that_answer_as_those_it_was_written_from(tmp_path, positions, heads, blocks):
    shape = replace(SMALL, positions=positions, heads=heads, blocks=blocks)
    folder, weights = random_bundle_of(shape, tmp_path / "bundle", "f32")
    read = unfold.read_weights(folder)
    assert read.shape == shape
    np.testing.assert_array_equal(read.output_embedding, weights.output_embedding)
    asked = [np.array(history) for history in histories(shape)]
    np.testing.assert_allclose(
        forward.encode(read, asked), forward.encode(weights, asked), rtol=1e-3, atol=1e-4
    )


def test_such_weights_are_a_public_state_dict(tmp_path):
    folder, _ = random_bundle_of(replace(SMALL, positions="bias"), tmp_path / "bundle", "f16")
    read = unfold.read_weights(folder)
    assert from_state_dict(to_state_dict(read), SMALL.heads).shape == read.shape
