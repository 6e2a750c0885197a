"""A training that begins with the weights of an earlier model, for data of which that model knows the most.

Movies are matched by their keys where both have any, else by their ids. The rows of those that the model
knows are kept. The others get, in both tables, the rows that the catalogue predicts
(`content_prior.predict`), or the known movies' mean row where there is no catalogue or too little is known to
predict from. The rest of the network is taken as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bundle, content_prior, movie_keys, unfold
from marquee_onnx.data import numbers_in
from marquee_onnx.errors import DataError
from marquee_onnx.recommenders import read_vocabulary, read_weights
from marquee_onnx.weights import Floats, Shape, Weights


@dataclass(frozen=True)
class Earlier:
    """A model to begin with: weights, the MovieLens ids of its items, its name and a digest of what it is."""

    weights: Weights
    vocabulary: NDArray[np.uint32]
    name: str
    digest: str
    keys: movie_keys.Keys | None = None

    def calls(self, vocabulary: NDArray[np.uint32], keys: movie_keys.Keys | None) -> NDArray[np.uint32]:
        """The ids by which this model knows the movies of a vocabulary; 0 where it knows none of a key."""
        if self.keys is None or keys is None:
            return vocabulary
        known = {key: movie_id for key, movie_id in zip(self.keys, self.vocabulary, strict=True) if key}
        called = [known.get(key, 0) if key else own for key, own in zip(keys, vocabulary, strict=True)]
        return np.array(called, np.uint32)


def read(model: Path) -> Earlier:
    """The model of a bundle or of a run folder."""
    vocabulary = read_vocabulary(model)
    if vocabulary is None:
        raise DataError(f"{model} does not say which movies it knows; name a bundle or a run folder")
    if (model / bundle.MANIFEST).exists():
        manifest = bundle.read_manifest(model)
        name = f"{manifest['name']}@{manifest['version']}"
        keys = movie_keys.read(model)
        return Earlier(unfold.read_weights(model), vocabulary, name, manifest["seal"], keys)
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    return Earlier(read_weights(model), vocabulary, model.resolve().name, digest, movie_keys.read(model))


def check_shape(earlier: Shape, sizes: Shape) -> None:
    """Whether a network of these sizes can go on with the weights of another, whatever its items."""
    names = (field.name for field in fields(Shape) if field.name != "items")
    other = [name for name in names if getattr(earlier, name) != getattr(sizes, name)]
    if other:
        wanted = " ".join(f"--{name.replace('_', '-')} {getattr(earlier, name)}" for name in other)
        raise DataError(f"the model to begin with has another {', '.join(other)}: train with {wanted}")


def begin(
    earlier: Earlier,
    vocabulary: NDArray[np.uint32],
    events: NDArray[np.int64],
    said: Sequence[frozenset[str]] | None,
) -> Weights:
    """The weights to begin with for the items of `vocabulary` [N], which have so many `events` [N].

    `said` is what the catalogue says of each. Raises `DataError` where the model knows none of them.
    """
    number = numbers_in(earlier.vocabulary, vocabulary)[1:]
    known = number > 0
    if not known.any():
        raise DataError("the model to begin with knows no movie of these data: train without --warm-start")
    trained = known & (events >= content_prior.KNOWN_FROM)
    if int(trained.sum()) < content_prior.FEWEST_KNOWN:
        said = None

    def rows(table: Floats) -> Floats:
        """A table's rows for the items of the vocabulary."""
        kept = np.asarray(table, np.float32)[np.maximum(number, 1) - 1]
        new = kept[known].mean(0) if said is None else content_prior.predict(kept, trained, said)
        return np.where(known[:, None], kept, new).astype(np.float32)

    return replace(
        earlier.weights,
        shape=replace(earlier.weights.shape, items=len(vocabulary)),
        item_embedding=rows(earlier.weights.item_embedding),
        output_embedding=rows(earlier.weights.output_embedding),
    )
