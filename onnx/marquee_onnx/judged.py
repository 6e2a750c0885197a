"""Who is judged: the users of the command line, what they had seen and the one item that came next."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import metrics
from marquee_onnx.data import (
    Histories,
    Ids,
    Moments,
    Reading,
    add_reading_arguments,
    check_numbered,
    numbers_in,
    prepared,
    read_dataset,
    read_item_numbers,
    read_judged_users,
    read_training,
    translate,
)
from marquee_onnx.errors import DataError, UsageError, warn
from marquee_onnx.recommenders import BASELINES, Recommender, open_recommender, read_vocabulary
from marquee_onnx.text import read_object

FEW_USERS = 100


@dataclass(frozen=True)
class Judged:
    """Users to judge, in item numbers; 0 is a target that the model does not know.

    `vocabulary` holds the MovieLens ids of the numbers, `train` the training histories and `moments` when the
    targets were rated, where they are known.
    """

    inputs: Histories
    targets: Ids
    vocabulary: NDArray[np.uint32] | None = None
    train: Histories | None = None
    moments: Moments | None = None

    def renumbered(self, vocabulary: NDArray[np.uint32]) -> Judged:
        """The same users in the item numbers of another vocabulary, without movies that it lacks.

        Raises `DataError` where it has nothing to judge them by.
        """
        assert self.vocabulary is not None
        number = numbers_in(vocabulary, self.vocabulary)
        if not (number[self.inputs.items].any() and number[self.targets].any()):
            raise DataError(
                "the model knows no movie of these histories or none that came next: judge on its own data"
            )
        train = None if self.train is None else translate(self.train, number)
        inputs, targets = translate(self.inputs, number), number[self.targets]
        return Judged(inputs, targets, vocabulary, train, self.moments)


def add_judged_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model and whom it is judged by."""
    parser.add_argument("model", metavar="MODEL", help="run folder, checkpoint, bundle, or a baseline's name")
    parser.add_argument("--input", type=Path, help="histories, one a line")
    parser.add_argument("--output", type=Path, help="the next item of each history, one a line")
    parser.add_argument("--data", type=Path, help="judge the split of this folder instead")
    parser.add_argument("--train", type=Path, help="training sequences, for baselines and novelty")
    parser.add_argument(
        "--items", type=Path, help="items.tsv, movies.csv, movies.dat or u.item, for diversity and freshness"
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "int8", "bf16"),
        help="which graph of a bundle; bf16 is emulated from the fp32 one",
    )
    add_reading_arguments(parser)


def open_judged(args: argparse.Namespace) -> tuple[Recommender, Judged]:
    """The model and the judged users of the command line, these in the model's item numbers."""
    return open_model(args, read_judged(args))


def open_model(args: argparse.Namespace, judged: Judged) -> tuple[Recommender, Judged]:
    """The model of the command line for these users, and they in its item numbers."""
    if args.model not in BASELINES:
        warn_of_other_split(Path(args.model), args)
    return open_for(args.model, judged, args.precision)


def open_for(model: str, judged: Judged, precision: str = "fp32") -> tuple[Recommender, Judged]:
    """A model or a baseline for these users, and the users in its item numbers."""
    vocabulary = None if model in BASELINES else read_vocabulary(Path(model))
    if vocabulary is not None and judged.vocabulary is not None:
        judged = judged.renumbered(vocabulary)
    elif vocabulary is not None:
        judged = replace(judged, vocabulary=vocabulary)
    recommender = open_recommender(model, judged.train, catalogue_size(judged), precision)
    most = max(int(judged.targets.max()), int(judged.inputs.items.max(initial=0)))
    if most > recommender.items:
        raise DataError(f"item {most} is in the files and the model has {recommender.items}; give --items")
    return recommender, judged


def warn_of_few(users: int) -> None:
    """Say what figures of so few judged users are worth."""
    if users < FEW_USERS:
        error = metrics.standard_error(users)
        warn(f"users judged: {users}; nDCG@10 is uncertain by about {error:.2f}")


def warn_of_other_split(model: Path, args: argparse.Namespace) -> None:
    """Say so where a model is judged on events that it may have been trained on."""
    folder = model if model.is_dir() else model.parent
    config = next(
        (folder / name for name in ("bundle.json", "config.json") if (folder / name).exists()), None
    )
    training = read_object(config).get("training") if config else None
    if not args.data or prepared(args.data, "train.txt") or not isinstance(training, dict):
        return
    judged = Reading.of(args).held_back(args.data)
    for name in judged:
        if training.get(name) not in (None, judged[name]):
            option = f"--{name.replace('_', '-')}"
            warn(
                f"trained with {option} {training[name]} and judged with {judged[name]}: "
                "it may know what it is asked for"
            )


def read_judged(args: argparse.Namespace) -> Judged:
    """The judged users of the command line."""
    if args.data:
        dataset = read_dataset(args.data, Reading.of(args))
        split = dataset.split
        judged = Judged(split.inputs, split.targets, dataset.vocabulary, split.train, split.moments)
    elif args.input and args.output:
        numbered = args.items is not None and args.items.suffix == ".tsv"
        vocabulary = read_item_numbers(args.items) if numbered else None
        judged = Judged(*read_judged_users(args.input, args.output), vocabulary)
        if vocabulary is not None:
            check_numbered(judged.inputs.items, vocabulary, args.input)
            check_numbered(judged.targets, vocabulary, args.output)
    else:
        raise UsageError("give --input and --output, or --data")
    if args.train:
        train = read_training(args.train)
        if judged.vocabulary is not None:
            check_numbered(train.items, judged.vocabulary, args.train)
        judged = replace(judged, train=train)
    if not len(judged.targets):
        raise DataError(f"nobody in {args.data} can be judged: no user has an item held back; see --split")
    warn_of_few(len(judged.targets))
    return judged


def catalogue_size(judged: Judged) -> int:
    """The number of items that a baseline ranks."""
    if judged.vocabulary is not None:
        return len(judged.vocabulary)
    most = max(int(judged.targets.max()), int(judged.inputs.items.max(initial=0)))
    return max(most, int(judged.train.items.max(initial=0))) if judged.train is not None else most
