"""Make a run folder from a state dict of the public gSASRec PyTorch code.

The file is read as data only: safetensors, or a PyTorch file in its weights-only mode, which runs no code of
the file. Sizes are inferred and checked. The number of heads leaves no trace in a state dict, so it must be
given. Item numbers 1..N of the checkpoint are the lines of the vocabulary file.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bundle, runs
from marquee_onnx.data import movie_id, read_item_numbers
from marquee_onnx.errors import CheckpointError
from marquee_onnx.terms import NOT_STATED
from marquee_onnx.text import open_text
from marquee_onnx.weights import Floats, from_state_dict, read_safetensors

PYTORCH_SUFFIXES = (".pt", ".pth", ".bin")


def load(path: Path) -> Mapping[str, Floats]:
    """The arrays of a checkpoint by name."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in PYTORCH_SUFFIXES:
        return load_pytorch(path)
    raise CheckpointError(f"{path}: expected .safetensors or one of {', '.join(PYTORCH_SUFFIXES)}")


def load_pytorch(path: Path) -> Mapping[str, Floats]:
    """A PyTorch file, weights only."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever the unpickler makes of bytes that are no pickle
        raise CheckpointError(f"{path} holds more than weights, or is damaged; it was not loaded") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict: save model.state_dict() and nothing around it")
    return {name: tensor.detach().float().numpy() for name, tensor in state.items()}


def load_vocabulary(path: Path) -> NDArray[np.uint32]:
    """Movie ids by item number: .u32 (little-endian), a split's items.tsv, or text, one id a line."""
    if path.suffix == ".u32":
        return bundle.read_ids(path)
    if path.suffix == ".tsv":
        return read_item_numbers(path)
    with open_text(path) as lines:
        ids = [
            movie_id(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
        ]
    return np.array(ids, np.uint32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `import-checkpoint`."""
    parser.add_argument("checkpoint", type=Path, help="a state dict: .safetensors, .pt, .pth or .bin")
    parser.add_argument("run", type=Path, help="run folder to write")
    parser.add_argument("--heads", type=int, required=True, help="attention heads of the network")
    parser.add_argument("--vocabulary", type=Path, required=True, help=load_vocabulary.__doc__)
    parser.add_argument("--data", default=NOT_STATED, help="what it was trained on, for the model's card")
    parser.add_argument("--terms", default=NOT_STATED, help="terms of that data")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing run folder")


def run(args: argparse.Namespace) -> int:
    """Import a checkpoint."""
    weights = from_state_dict(load(args.checkpoint), args.heads)
    vocabulary = load_vocabulary(args.vocabulary)
    bundle.check_vocabulary(vocabulary, weights.shape.items)
    training = {"data": args.data, "terms": args.terms, "imported_from": args.checkpoint.name}
    runs.write(args.run, runs.Run(weights, vocabulary, training, {}), args.overwrite)
    print(f"wrote {args.run}: {asdict(weights.shape)}")
    return 0
