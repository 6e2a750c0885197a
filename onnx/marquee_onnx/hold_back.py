"""A prepared split without the newest items of its training sequences, which are judged instead.

`python -m marquee_onnx.hold_back SPLIT FOLDER` writes another prepared split: `train.txt.gz` ends before the
newest `--items` items of each sequence, and each of those is judged after all that came before it. So models
and objectives are chosen on many users of a split whose test items are not to be looked at.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from marquee_onnx.arguments import positive
from marquee_onnx.data import Histories, Ids, Split, prepared, read_training
from marquee_onnx.errors import DataError


def hold_back(histories: Histories, count: int) -> Split:
    """The newest `count` items of every sequence that has more, judged oldest first."""
    longer = [history for history in histories if len(history) > count]
    train = Histories.from_sequences(history[:-count] for history in longer)
    inputs = Histories.from_sequences(history[:-place] for place in range(count, 0, -1) for history in longer)
    targets = Histories.from_sequences(
        [history[-place] for history in longer] for place in range(count, 0, -1)
    )
    return Split(train, inputs, targets.items)


def write(folder: Path, split: Split) -> None:
    """Write a prepared split."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sequences(folder / "train.txt.gz", split.train)
    write_sequences(folder / "val_input.txt.gz", split.inputs)
    (folder / "val_output.txt").write_text("".join(f"{target}\n" for target in split.targets))


def write_sequences(path: Path, histories: Iterable[Ids]) -> None:
    """Write a sequence a line, gzipped."""
    with gzip.open(path, "wt") as file:
        file.writelines(" ".join(map(str, history)) + "\n" for history in histories)


def main() -> int:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=positive, default=2)
    args = parser.parse_args()
    train = prepared(args.split, "train.txt")
    if train is None:
        raise DataError(f"{args.split} has neither train.txt nor train.txt.gz; it is not a prepared split")
    split = hold_back(read_training(train), args.items)
    write(args.folder, split)
    if (args.split / "items.tsv").exists():
        shutil.copyfile(args.split / "items.tsv", args.folder / "items.tsv")
    print(f"{len(split.train):,} training sequences, {len(split.targets):,} items to judge")
    return 0


if __name__ == "__main__":
    sys.exit(main())
