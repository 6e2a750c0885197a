"""The bundled model is whole, and its graphs agree with the float64 reference.

Its weights are read back from the fp32 graph, where the value and second dense biases are folded away, and
the key matrix of its one head into the query's: that is a gSASRec network too, with zeros and an identity in
their places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import histories
from onnx import TensorProto, numpy_helper

from marquee_onnx import bundle, metrics, reference, sessions, tables
from marquee_onnx.weights import Block, Dense, Norm, Weights

BUNDLED = Path(__file__).parent.parent / "bundles" / "movielens-small"
LENGTHS = (1, 2, 5, 20, 69, 150, 200)


def weights_of(folder: Path) -> Weights:
    shape = bundle.shape_of(bundle.read_manifest(folder))
    graph = onnx.load(folder / "encoder.cpu.onnx", load_external_data=False).graph
    inside = [t for t in graph.initializer if t.data_location != TensorProto.EXTERNAL]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in inside}
    nothing = np.zeros(shape.dimension, np.float32)

    def norm(name: str) -> Norm:
        return Norm(constants[f"{name}.scale"], constants[f"{name}.bias"])

    def dense(name: str) -> Dense:
        return Dense(constants[f"{name}.weight"], constants.get(f"{name}.bias", nothing))

    def block(number: int) -> Block:
        layers = {name: dense(f"block{number}.{name}") for name in ("value", "dense1", "dense2")}
        layers["query"] = dense(f"block{number}.sought")
        layers["key"] = Dense(np.eye(shape.dimension, dtype=np.float32), nothing)
        norms = {name: norm(f"block{number}.{name}") for name in ("norm1", "norm2")}
        biases = constants.get(
            f"block{number}.distance_bias"
        )  # a row a position, or that of the newest alone
        return Block(**norms, **layers, distance_bias=None if biases is None else by_distance(biases))

    stored = {
        name: np.asarray(array, np.float32) for name, array in tables.read(folder / tables.FILE).items()
    }
    return Weights(
        shape=shape,
        blocks=tuple(map(block, range(shape.blocks))),
        final_norm=norm("final_norm"),
        item_embedding=stored["item_embedding"],
        output_embedding=stored["output_embedding"],
        position_embedding=stored.get("position_embedding"),
    )


def by_distance(biases: np.ndarray) -> np.ndarray:
    newest = biases[:, -1] if biases.ndim == 3 else biases
    return newest[:, ::-1]


@pytest.fixture(scope="module")
def judged():
    """The weights, some histories, their exact vectors and their ten best unseen items."""
    weights = weights_of(BUNDLED)
    of = [history for history in histories(weights.shape) if len(history) in LENGTHS]
    users = np.stack([reference.encode(weights, history) for history in of])
    return weights, of, users, best_ten(weights, users, of)


def best_ten(weights: Weights, users: np.ndarray, of: list[list[int]]) -> np.ndarray:
    scores = np.float32(users @ weights.output_embedding.T)
    return metrics.top_items(scores, [np.array(history) for history in of], 10)


def test_the_bundled_model_is_whole():
    assert bundle.check(BUNDLED)["name"] == "movielens-small"


@pytest.mark.parametrize(
    ("file", "error", "overlap"),
    [
        ("encoder.cpu.onnx", 1e-5, 1.0),
        ("encoder.cpu.int8.onnx", 0.1, 0.9),
        ("encoder.cuda.onnx", 2e-3, 0.95),
    ],
)
def test_the_bundled_graphs_agree_with_the_reference(judged, file, error, overlap):
    weights, of, users, best = judged
    session = sessions.open_session(BUNDLED / file)
    got = np.stack([sessions.encode(session, history, weights.shape.maximum_length) for history in of])
    found = float(np.abs(got - users).max() / np.abs(users).max())
    shared = np.mean([np.isin(a, b).mean() for a, b in zip(best_ten(weights, got, of), best, strict=True)])
    print(f"{file}: error {found:.1e}, top-10 overlap {shared:.3f}")
    assert found < error
    assert shared >= overlap
