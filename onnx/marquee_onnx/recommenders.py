"""Everything `evaluate` can judge, behind one method: scores of all items after each history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bf16, bundle, forward, sessions, tables
from marquee_onnx.baselines import CoOccurrence, ItemKnn, Popularity
from marquee_onnx.data import Histories, Ids
from marquee_onnx.errors import CheckpointError, DataError
from marquee_onnx.text import read_object
from marquee_onnx.weights import Weights, from_state_dict, read_safetensors

BASELINES = {"popularity": Popularity, "co-occurrence": CoOccurrence, "item-knn": ItemKnn}


class Recommender(Protocol):
    """Scores of the items 1..N; histories hold at least one item each."""

    items: int

    @property
    def vectors(self) -> NDArray[np.float32] | None:
        """Those of the items, [N, d]; None where it has none."""

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N], column i for item i + 1."""


class Encoder(Recommender, Protocol):
    """One whose scores are products of vectors."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Those of the items, [N, d]."""

    def users(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """User vectors [users, d]."""


class NumpyModel:
    """A run's weights through the NumPy forward pass."""

    def __init__(self, weights: Weights):
        self.weights = weights
        self.items = weights.shape.items
        self.vectors = np.asarray(weights.output_embedding, dtype=np.float32)

    def users(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """User vectors [users, d]."""
        return forward.encode(self.weights, histories)

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        return np.asarray(self.users(histories) @ self.weights.output_embedding.T, dtype=np.float32)


class BundleModel:
    """A bundle's CPU encoder of the given precision, scored in full.

    fp32 and int8 are graphs, run by ONNX Runtime; bf16 is emulated from the fp32 one.
    """

    def __init__(self, folder: Path, precision: str):
        manifest = bundle.check(folder)
        self.items = manifest["items"]
        self.output = np.asarray(tables.read(folder / tables.FILE)["output_embedding"], dtype=np.float32)
        self.vectors = self.output
        self.encode: Callable[[Ids], NDArray[np.float32]]
        if precision == "bf16":
            encoder = bf16.Encoder(cpu_graph(folder, manifest, "fp32"), bundle.shape_of(manifest))
            self.encode = encoder.encode
        else:
            session = sessions.open_session(cpu_graph(folder, manifest, precision))
            self.encode = partial(sessions.encode, session, maximum_length=manifest["maximum_length"])

    def users(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """User vectors [users, d]."""
        return np.stack([self.encode(history) for history in histories])

    def scores(self, histories: Sequence[Ids]) -> NDArray[np.float32]:
        """Scores [users, N]."""
        return self.users(histories) @ self.output.T


def cpu_graph(folder: Path, manifest: Mapping[str, Any], precision: str) -> Path:
    """The file of a bundle's CPU encoder in a precision."""
    for graph in manifest["graphs"]:
        if (graph["role"], graph["device"], graph["precision"]) == ("encoder", "cpu", precision):
            return folder / graph["file"]
    raise DataError(f"{folder} has no {precision} encoder for the CPU; choose another --precision")


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
    return open_encoder(Path(name), precision)


def open_encoder(path: Path, precision: str = "fp32") -> Encoder:
    """The model of a bundle, a run folder or a checkpoint."""
    if (path / bundle.MANIFEST).exists():
        return BundleModel(path, precision)
    return NumpyModel(read_weights(path))
