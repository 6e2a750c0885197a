"""Every graph against the float64 reference, at every length."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SMALL, histories

from marquee_onnx import reference, sessions


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("file", ["encoder.cpu.onnx", "naive.encoder.cpu.onnx"])
def test_fp32_encoders_equal_the_left_padded_reference_at_every_length(small, file):
    folder, weights = small
    session = sessions.open_session(folder / file)
    for history in histories(SMALL):
        got = sessions.encode(session, history, SMALL.maximum_length)
        assert relative_error(got, reference.encode(weights, history)) < 1e-5, len(history)


def test_a_longer_history_is_cut_to_its_newest_items(small):
    folder, weights = small
    long = histories(SMALL)[-1] * 2
    session = sessions.open_session(folder / "encoder.cpu.onnx")
    got = sessions.encode(session, [7, *long], SMALL.maximum_length)
    assert relative_error(got, reference.encode(weights, long)) < 1e-5


def test_the_naive_scorer_returns_the_best_items_of_the_reference(small):
    folder, weights = small
    users = np.stack([reference.encode(weights, history) for history in histories(SMALL)])
    session = sessions.open_session(folder / "naive.scorer.cpu.onnx")
    scores, items = session.run(["scores", "items"], {"user": users.astype(np.float32), "k": np.array([10])})
    expected = np.stack([reference.score(weights, user) for user in users])
    assert np.array_equal(items, np.argsort(-expected, axis=1, kind="stable")[:, :10] + 1)
    assert relative_error(scores, np.take_along_axis(expected, items - 1, axis=1)) < 1e-5
