"""Judge a model on held-back items: unsampled, over the whole catalogue, seen items removed.

MODEL is a run folder, a checkpoint with its config.json, a bundle (through ONNX Runtime), `popularity` or
`co-occurrence`. The judged users come from `--input` (a sequence of item numbers a line, oldest first) and
`--output` (the item that came next), plain or gzipped, or from `--data`. A figure that the lists do not
allow, such as the diversity of lists of one item, is left out.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import catalogue, metrics
from marquee_onnx.arguments import positive
from marquee_onnx.data import (
    Histories,
    Ids,
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
from marquee_onnx.text import read_object, to_json

LIST_LENGTH = 10
BATCH = 64
FEW_USERS = 100


@dataclass(frozen=True)
class Judged:
    """Users to judge, in item numbers; 0 is a target that the model does not know.

    `vocabulary` holds the MovieLens ids of the numbers, `train` the training histories, where they are known.
    """

    inputs: Histories
    targets: Ids
    vocabulary: NDArray[np.uint32] | None = None
    train: Histories | None = None

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
        return Judged(translate(self.inputs, number), number[self.targets], vocabulary, train)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evaluate`."""
    parser.add_argument("model", metavar="MODEL", help="run folder, checkpoint, bundle, or a baseline's name")
    parser.add_argument("--input", type=Path, help="histories, one a line")
    parser.add_argument("--output", type=Path, help="the next item of each history, one a line")
    parser.add_argument("--data", type=Path, help="judge the split of this folder instead")
    parser.add_argument("--train", type=Path, help="training sequences, for baselines and novelty")
    parser.add_argument(
        "--items", type=Path, help="items.tsv, movies.csv, movies.dat or u.item, for diversity and freshness"
    )
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "int8"), help="which graph of a bundle"
    )
    parser.add_argument(
        "--ranks", type=Path, help="write each user's rank of the target, from 0, to this file"
    )
    parser.add_argument(
        "--resamples", type=positive, default=1000, help="bootstrap resamples of the intervals"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_reading_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge and print."""
    begin = time.perf_counter()
    judged = read_judged(args)
    vocabulary = None
    if args.model not in BASELINES:
        vocabulary = read_vocabulary(Path(args.model))
        warn_of_other_split(Path(args.model), args)
    if vocabulary is not None and judged.vocabulary is not None:
        judged = judged.renumbered(vocabulary)
    elif vocabulary is not None:
        judged = replace(judged, vocabulary=vocabulary)
    items = catalogue_size(judged)
    recommender = open_recommender(args.model, judged.train, items, args.precision)
    report = judge(recommender, judged, args)
    report["seconds"] = round(time.perf_counter() - begin, 1)
    print(to_json(report) if args.json else table(report))
    return 0


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
        judged = Judged(split.inputs, split.targets, dataset.vocabulary, split.train)
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


def judge(recommender: Recommender, judged: Judged, args: argparse.Namespace) -> dict[str, Any]:
    """Every figure that the given files allow."""
    most = max(int(judged.targets.max()), int(judged.inputs.items.max(initial=0)))
    if most > recommender.items:
        raise DataError(f"item {most} is in the files and the model has {recommender.items}; give --items")
    rank = np.empty(len(judged.targets), dtype=np.int64)
    lists = np.empty((len(rank), min(LIST_LENGTH, recommender.items)), dtype=np.int32)
    for users, histories, scores in score_batches(recommender, judged.inputs):
        targets = judged.targets[users]
        rank[users] = metrics.ranks(scores, histories, np.maximum(targets, 1))
        rank[users[targets == 0]] = recommender.items
        lists[users] = metrics.top_items(scores, histories, LIST_LENGTH)
    if args.ranks:
        args.ranks.write_text("".join(f"{value}\n" for value in rank))
    values = metrics.per_user(rank)
    report: dict[str, Any] = {"model": args.model, "users": len(rank)}
    report |= {name: float(value.mean()) for name, value in values.items()}
    report["coverage@10"] = metrics.coverage(lists, recommender.items)
    movies = args.items or (args.data and catalogue.find_catalogue(args.data))
    figures = beyond_accuracy(lists, judged, movies)
    report |= {name: value for name, value in figures.items() if math.isfinite(value)}
    report["intervals"] = {n: metrics.bootstrap(value, args.resamples) for n, value in values.items()}
    return report


def score_batches(
    recommender: Recommender, inputs: Histories
) -> Iterator[tuple[NDArray[np.int64], list[Ids], NDArray[np.float32]]]:
    """Users of like length, their histories and their scores; a user without history gets equal scores."""
    order = np.argsort(inputs.lengths, kind="stable")
    empty = int((inputs.lengths == 0).sum())
    if empty:
        histories = [inputs[int(user)] for user in order[:empty]]
        yield order[:empty], histories, np.zeros((empty, recommender.items), dtype=np.float32)
    for begin in range(empty, len(order), BATCH):
        users = order[begin : begin + BATCH]
        histories = [inputs[int(user)] for user in users]
        yield users, histories, recommender.scores(histories)


def beyond_accuracy(lists: NDArray[np.int32], judged: Judged, movies_path: Path | None) -> dict[str, float]:
    """Novelty with training histories; diversity and freshness with a catalogue and a vocabulary."""
    report = {}
    if judged.train is not None:
        most = max(int(lists.max()), int(judged.train.items.max(initial=0)))
        items = len(judged.vocabulary) if judged.vocabulary is not None else most
        counts = np.bincount(judged.train.items, minlength=items + 1)
        report["novelty@10"] = metrics.novelty(lists, counts)
    if movies_path is not None and judged.vocabulary is not None:
        movies = catalogue.read_movies(movies_path)
        genres = catalogue.genres(movies, judged.vocabulary)
        if genres.any():
            report["intra_list_diversity@10"] = metrics.intra_list_diversity(lists, genres)
        report["freshness@10"] = metrics.freshness(lists, catalogue.years(movies, judged.vocabulary))
    return report


def table(report: dict[str, Any]) -> str:
    """The report for a person: a metric a line, with its interval where it has one."""
    lines = [f"{report['model']}, {report['users']} users, {report['seconds']} s"]
    for name, value in report.items():
        if isinstance(value, float) and name != "seconds":
            low, high = report["intervals"].get(name, (None, None))
            interval = f"   95% [{low:.4f}, {high:.4f}]" if low is not None else ""
            lines.append(f"{name:<26} {value:.4f}{interval}")
    return "\n".join(lines)
