"""Everything `evaluate` can judge, behind one method: scores of all items after each history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bundle, forward, sessions, tables
from marquee_onnx.baselines import CoOccurrence, Popularity
from marquee_onnx.data import Histories, Ids
from marquee_onnx.errors import CheckpointError, DataError
from marquee_onnx.text import read_object
from marquee_onnx.weights import Weights, from_state_dict, read_safetensors

BASELINES = {"popularity": Popularity, "co-occurrence": CoOccurrence}


class Recommender(Protocol):
    """Scores of the items 1..N; histories hold at least one item each."""

    items: int

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N], column i for item i + 1."""


class NumpyModel:
    """A run's weights through the NumPy forward pass."""

    def __init__(self, weights: Weights):
        self.weights = weights
        self.items = weights.shape.items

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        users = forward.encode(self.weights, histories)
        return np.asarray(users @ self.weights.output_embedding.T, dtype=np.float32)


class BundleModel:
    """A bundle's CPU encoder of the given precision through ONNX Runtime, scored in full."""

    def __init__(self, folder: Path, precision: str):
        manifest = bundle.check(folder)
        graphs = [
            graph["file"]
            for graph in manifest["graphs"]
            if (graph["role"], graph["device"], graph["precision"]) == ("encoder", "cpu", precision)
        ]
        if not graphs:
            raise DataError(f"{folder} has no {precision} encoder for the CPU; choose another --precision")
        self.session = sessions.open_session(folder / graphs[0])
        self.maximum_length = manifest["maximum_length"]
        self.items = manifest["items"]
        self.output = np.asarray(tables.read(folder / tables.FILE)["output_embedding"], dtype=np.float32)

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        users = [
            sessions.encode(self.session, history.tolist(), self.maximum_length) for history in histories
        ]
        return np.stack(users) @ self.output.T


def read_weights(model: Path) -> Weights:
    """The weights of a run folder, or of a checkpoint with its config.json beside it."""
    path = model / "model.safetensors" if model.is_dir() else model
    config = path.parent / "config.json"
    for file in (path, config):
        if not file.exists():
            raise CheckpointError(f"{file} is missing; name a run folder, a checkpoint or a bundle")
    heads = read_object(config).get("heads")
    if type(heads) is not int:
        raise CheckpointError(f"{config} does not say how many heads the network has; write it again")
    return from_state_dict(read_safetensors(path), heads)


def read_vocabulary(model: Path) -> NDArray[np.uint32] | None:
    """The MovieLens ids of a model's items, or None where no vocabulary lies beside it."""
    path = (model if model.is_dir() else model.parent) / "vocabulary.u32"
    return bundle.read_ids(path) if path.exists() else None


def open_recommender(name: str, train: Histories | None, items: int, precision: str) -> Recommender:
    """The recommender that `name` means: a baseline, a bundle, a run folder or a checkpoint.

    A baseline learns from `train` and ranks `items` items.
    """
    if name in BASELINES:
        if train is None:
            raise DataError(f"{name} learns from training sequences; give --train or --data")
        return BASELINES[name](train, items)
    path = Path(name)
    if (path / bundle.MANIFEST).exists():
        return BundleModel(path, precision)
    return NumpyModel(read_weights(path))
