"""A prepared split without a share of its users and of its movies: what a model has never heard of.

`python -m marquee_onnx.leave_out SPLIT FOLDER` writes another prepared split to train on, and beside it what
was left out: `unseen.txt.gz` has the other users' sequences with all movies, `taken.txt.gz` the training
users' with all movies, and `catalogue.tsv` all movies, those of `items.tsv` first, with the same numbers.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.arguments import fraction
from marquee_onnx.arguments import seed as any_seed
from marquee_onnx.data import Histories, prepared, read_item_numbers, read_training, translate
from marquee_onnx.errors import DataError
from marquee_onnx.hold_back import write_sequences
from marquee_onnx.text import open_text

ITEMS, CATALOGUE = "items.tsv", "catalogue.tsv"
TRAIN, TAKEN, UNSEEN = "train.txt.gz", "taken.txt.gz", "unseen.txt.gz"


@dataclass(frozen=True)
class LeftOut:
    """Sequences in item numbers 1..N, of which the model knows those up to `known`.

    `taken` are the training users', new movies among theirs; `unseen` those of users left out. `vocabulary`
    holds the MovieLens ids of all N.
    """

    taken: Histories
    unseen: Histories
    known: int
    vocabulary: NDArray[np.uint32]


def leave_out(
    histories: Histories, vocabulary: NDArray[np.uint32], users: float, movies: float, seed: int
) -> LeftOut:
    """Leave out these shares, drawn anew for every seed; known movies keep their order, new ones follow."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(histories), dtype=np.bool_)
    out[rng.permutation(len(histories))[: round(users * len(histories))]] = True
    new = np.zeros(len(vocabulary), dtype=np.bool_)
    new[rng.permutation(len(vocabulary))[: round(movies * len(vocabulary))]] = True
    order = np.argsort(new, kind="stable")
    number = np.argsort(order).astype(np.int32) + 1
    renumbered = Histories(number[histories.items - 1], histories.offsets)
    taken, unseen = (renumbered.select(np.flatnonzero(some)) for some in (~out, out))
    return LeftOut(taken, unseen, int((~new).sum()), vocabulary[order])


def known_only(histories: Histories, known: int) -> Histories:
    """The same users' histories without new movies."""
    most = int(histories.items.max(initial=known))
    number = np.arange(most + 1, dtype=np.int32)
    number[known + 1 :] = 0
    return translate(histories, number)


def write(split: Path, folder: Path, users: float, movies: float, seed: int) -> LeftOut:
    """Leave out shares of the users and movies of a prepared split, and write what became of it."""
    train = prepared(split, "train.txt")
    if train is None:
        raise DataError(f"{split} has neither train.txt nor train.txt.gz; it is not a prepared split")
    vocabulary = read_item_numbers(split / ITEMS)
    found = leave_out(read_training(train), vocabulary, users, movies, seed)
    header, rows = movie_rows(split / ITEMS)
    everything = [header, *(f"{item}\t{rows[int(id)]}" for item, id in enumerate(found.vocabulary, 1))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CATALOGUE).write_text("\n".join(everything) + "\n")
    (folder / ITEMS).write_text("\n".join(everything[: found.known + 1]) + "\n")
    histories = known_only(found.taken, found.known)
    write_sequences(folder / TRAIN, (history for history in histories if len(history)))
    write_sequences(folder / TAKEN, found.taken)
    write_sequences(folder / UNSEEN, found.unseen)
    return found


def movie_rows(path: Path) -> tuple[str, dict[int, str]]:
    """The header of `items.tsv`, and each line behind its item number, by movie id."""
    with open_text(path) as file:
        header, *lines = (line.rstrip("\r\n") for line in file if line.strip())
    rows = (line.partition("\t")[2] for line in lines)
    return header, {int(row.partition("\t")[0]): row for row in rows}


def read(folder: Path) -> LeftOut:
    """What `write` left in a folder."""
    for name in (TAKEN, UNSEEN, ITEMS, CATALOGUE):
        if not (folder / name).exists():
            raise DataError(f"{folder} has no {name}; write it with python -m marquee_onnx.leave_out")
    known = len(read_item_numbers(folder / ITEMS))
    vocabulary = read_item_numbers(folder / CATALOGUE)
    return LeftOut(read_training(folder / TAKEN), read_training(folder / UNSEEN), known, vocabulary)


def main() -> int:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=fraction, default=0.2, help="share of the users")
    parser.add_argument("--movies", type=fraction, default=0.0, help="share of the movies")
    parser.add_argument("--seed", type=any_seed, default=0)
    args = parser.parse_args()
    found = write(args.split, args.folder, args.users, args.movies, args.seed)
    print(
        f"to train on: {len(found.taken):,} users, {found.known:,} movies; "
        f"left out: {len(found.unseen):,} users, {len(found.vocabulary) - found.known:,} movies"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
