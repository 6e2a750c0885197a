"""A run folder: what `train` and `import-checkpoint` write and `export` reads.

`model.safetensors` (the public state dict), `config.json` (sizes, training, metrics), `vocabulary.u32` and,
where the training data has titles and keys, `titles.u32` and `keys.txt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from marquee_onnx import movie_keys, titles
from marquee_onnx.errors import CheckpointError
from marquee_onnx.folders import check_replaceable
from marquee_onnx.recommenders import read_vocabulary, read_weights
from marquee_onnx.terms import NOT_STATED
from marquee_onnx.text import read_object, to_json
from marquee_onnx.weights import Weights, to_state_dict

MODEL, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.u32"
SIZES = ("items", "dimension", "maximum_length", "heads", "blocks", "positions")


@dataclass(frozen=True)
class Run:
    """A trained model before it becomes a bundle."""

    weights: Weights
    vocabulary: NDArray[np.uint32]
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    titles: NDArray[np.uint32] | None = None
    keys: movie_keys.Keys | None = None


def read(folder: Path) -> Run:
    """The run of a folder; raises `CheckpointError` where its files disagree."""
    weights = read_weights(folder)
    vocabulary = read_vocabulary(folder)
    if vocabulary is None:
        raise CheckpointError(f"{folder / VOCABULARY} is missing: which movie is which item?")
    config = read_object(folder / CONFIG)
    for name in SIZES:
        if name in config and config[name] != getattr(weights.shape, name):
            raise CheckpointError(
                f"{folder / CONFIG} says {name} {config[name]}, {MODEL} has {getattr(weights.shape, name)}"
            )
    training, figures = config.get("training") or {}, config.get("metrics") or {}
    if not isinstance(training, dict) or not isinstance(figures, dict):
        raise CheckpointError(f"{folder / CONFIG} holds no objects as training and metrics; write it again")
    training = {"data": NOT_STATED, "terms": NOT_STATED} | training
    return Run(weights, vocabulary, training, figures, titles.read(folder), movie_keys.read(folder))


def write_weights(path: Path, weights: Weights) -> None:
    """The public state dict as safetensors, readable for all (the library writes it for its owner alone)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(to_state_dict(weights), path)
    path.chmod(0o644)


def write(folder: Path, run: Run, overwrite: bool = False) -> None:
    """Write a run folder."""
    check_replaceable(folder, CONFIG, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / MODEL, run.weights)
    config = {
        "architecture": "gsasrec",
        **{name: getattr(run.weights.shape, name) for name in SIZES},
        "vocabulary": VOCABULARY,
        "training": dict(run.training),
        "metrics": dict(run.metrics),
    }
    (folder / CONFIG).write_text(to_json(config, indent=2) + "\n")
    (folder / VOCABULARY).write_bytes(run.vocabulary.astype("<u4").tobytes())
    titles.write(folder, run.titles)
    movie_keys.write(folder, run.keys)
