"""Train gSASRec on a MovieLens folder or a prepared split.

The run folder holds settings, log, curves and a resumable state while the run goes on, and at its end
`model.safetensors`, `config.json`, `vocabulary.u32` and `titles.u32`, which `evaluate` and `export` read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from marquee_onnx import metrics, titles
from marquee_onnx.arguments import count, positive, threads
from marquee_onnx.baselines import Popularity
from marquee_onnx.data import (
    Dataset,
    Histories,
    Ids,
    Reading,
    Split,
    add_reading_arguments,
    read_dataset,
)
from marquee_onnx.errors import DataError, MarqueeError, warn
from marquee_onnx.folders import check_unused
from marquee_onnx.judged import FEW_USERS, warn_of_few
from marquee_onnx.judging import score_batches
from marquee_onnx.progress import draw_curves, epoch_line, opening_line, verdict
from marquee_onnx.terms import NOT_STATED, stated_terms
from marquee_onnx.text import open_text, parse_object, read_object, to_json
from marquee_onnx.trainer import CHOICES, HELP, Settings, Trainer, write_tensors

STATE, LOG, SETTINGS = "state.safetensors", "log.jsonl", "settings.json"
MODEL, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.u32"
METRICS, CURVES = "metrics.json", "curves.png"
WRITTEN = (STATE, LOG, MODEL, CONFIG, VOCABULARY, METRICS, CURVES, titles.FILE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    parser.add_argument("data", type=Path, help="a MovieLens folder or a prepared split")
    parser.add_argument("--output", type=Path, required=True, help="the run folder; a state in it is resumed")
    parser.add_argument("--name", default="", help="what the data is called in config.json")
    parser.add_argument(
        "--terms",
        help=f"the data's terms in config.json and the bundle; {NOT_STATED!r} unless the README beside the "
        "data is that of a MovieLens release",
    )
    add_reading_arguments(parser)
    parser.add_argument("--add", type=Path, action="append", default=[], help="more training histories")
    parser.add_argument("--validate-every", type=positive, default=10, help="epochs between validations")
    parser.add_argument("--validation-users", type=positive, default=8192, help="judge at most so many users")
    parser.add_argument(
        "--patience", type=count, default=0, help="stop after so many validations without gain"
    )
    parser.add_argument("--threads", type=threads, default=0, help="CPU threads; 0 lets PyTorch decide")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    for field in fields(Settings):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default),
            default=field.default,
            choices=CHOICES.get(field.name),
            help=f"{HELP[field.name]} (default {field.default})",
        )


def run(args: argparse.Namespace) -> int:
    """Train, or resume, to the last epoch."""
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    if args.threads:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    check_unused(args.output, SETTINGS, WRITTEN)
    dataset = load(args)
    check_enough(dataset, args.data)
    hashes = titles.of_data(args.data, dataset.vocabulary)
    args.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(dataset.split.train, len(dataset.vocabulary), settings, device)
    resume(trainer, args.output, begun_with(args, dataset, settings))
    judged = subset(dataset.split, args.validation_users)
    baseline = judge_popularity(dataset, judged)
    print(opening_line(dataset, len(judged[1]), trainer.epoch, settings.epochs), flush=True)
    best = train(trainer, args.output, judged, args.validate_every, args.patience, baseline)
    description = describe(args, dataset, settings) | {"judged_users": len(judged[1])}
    write_run(args.output, trainer, best, dataset, description)
    titles.write(args.output, hashes)
    draw_curves(args.output / CURVES, list(records(args.output)), baseline)
    print(f"wrote {args.output}: {verdict(best, baseline)}")
    return 0


def load(args: argparse.Namespace) -> Dataset:
    """The dataset of the command line, with the histories that `--add` names."""
    reading = Reading.of(args)
    dataset = read_dataset(args.data, reading)
    for folder in args.add:
        added = dataset.without_copies(read_dataset(folder, reading))
        dataset = dataset.with_histories(added)
    return dataset


def check_enough(dataset: Dataset, folder: Path) -> None:
    """Refuse data from which nothing can be learnt, and warn where that is next to nothing."""
    train = dataset.split.train
    followed = train.select(np.flatnonzero(train.lengths >= 2))
    if not len(followed):
        raise DataError(
            f"{folder} leaves no training history of two or more items, and what follows what is all that is "
            "learnt; give more events a user, or --split none, which holds none of them back"
        )
    if len(followed) < FEW_USERS:
        warn(f"histories of two or more items to learn from: {len(followed)}; expect little of the model")
    if len(dataset.split.targets):
        warn_of_few(len(dataset.split.targets))
    else:
        warn("nobody is judged: how good the model is stays unknown")


def judge_popularity(dataset: Dataset, judged: tuple[Histories, Ids]) -> float | None:
    """nDCG@10 of recommending what is popular to the judged users: what a model has to beat."""
    inputs, targets = judged
    if not len(targets):
        return None
    rank = np.empty(len(targets), dtype=np.int64)
    popularity = Popularity(dataset.split.train, len(dataset.vocabulary))
    for users, histories, scores in score_batches(popularity, inputs):
        rank[users] = metrics.ranks(scores, histories, targets[users])
    return metrics.summary(rank)["ndcg@10"]


def choose_device(name: str) -> torch.device:
    """CUDA where there is one, unless told otherwise."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MarqueeError(f"PyTorch knows no device {name!r}; choose cpu, cuda or auto") from error
    if device.type not in ("cpu", "cuda"):
        raise MarqueeError(f"nothing is trained on the device {name!r}; choose cpu, cuda or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MarqueeError(f"PyTorch finds no GPU for --device {name}; choose cpu or auto")
    return device


def begun_with(args: argparse.Namespace, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """What must stay as it was where a training goes on: the settings, the split, the movies' numbers."""
    movies = hashlib.sha256(dataset.vocabulary.astype("<u4").tobytes()).hexdigest()
    return asdict(settings) | Reading.of(args).held_back(args.data) | {"vocabulary": movies}


def resume(trainer: Trainer, folder: Path, settings: Mapping[str, Any]) -> None:
    """Load the state of an earlier call with the same settings; only `epochs` may have changed."""
    if (folder / STATE).exists():
        earlier = read_object(folder / SETTINGS)
        changed = sorted(
            name for name in settings if name != "epochs" and earlier.get(name) != settings[name]
        )
        if changed:
            raise DataError(f"{folder} was begun with another {', '.join(changed)}; choose another --output")
        try:
            trainer.load(folder / STATE)
        except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder / STATE} is damaged or of other data; choose another --output"
            ) from error
        list(records(folder))  # a damaged log is an error now, not when the curves are drawn
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")


def subset(split: Split, most: int) -> tuple[Histories, Ids]:
    """At most so many judged users, the same ones every time."""
    if len(split.targets) <= most:
        return split.inputs, split.targets
    users = np.sort(np.random.default_rng(0).choice(len(split.targets), most, replace=False))
    return split.inputs.select(users), split.targets[users]


def train(
    trainer: Trainer,
    folder: Path,
    judged: tuple[Histories, Ids],
    every: int,
    patience: int,
    baseline: float | None = None,
) -> dict[str, float]:
    """Run the epochs that are left, logging each; the figures of the weights that are kept.

    With patience the best validated weights are kept, else the last. `baseline` is popularity's nDCG@10,
    printed beside each validation.
    """
    best = max(validations(folder), key=lambda record: record["ndcg@10"], default=None) if patience else None
    figures: dict[str, float] = {}
    while trainer.epoch < trainer.settings.epochs and not is_stale(best, trainer.epoch, patience * every):
        begin = time.perf_counter()
        record: dict[str, Any] = {"loss": trainer.run_epoch(), "epoch": trainer.epoch}
        if not math.isfinite(record["loss"]):
            raise MarqueeError(
                f"the loss of epoch {trainer.epoch} is no number: begin anew with a lower --rate"
            )
        record["seconds"] = round(time.perf_counter() - begin, 2)
        if len(judged[1]) and (trainer.epoch % every == 0 or trainer.epoch == trainer.settings.epochs):
            figures = trainer.judge(*judged)
            record |= figures
        if patience and figures and (best is None or figures["ndcg@10"] > best["ndcg@10"]):
            best = record
            write_tensors(folder / MODEL, trainer.average.weights)
        trainer.save(folder / STATE)
        with (folder / LOG).open("a") as log:
            log.write(to_json(record) + "\n")
        print(epoch_line(record, trainer.settings.epochs, baseline), flush=True)
    if best is not None:
        return {name: value for name, value in best.items() if name not in ("epoch", "loss", "seconds")}
    write_tensors(folder / MODEL, trainer.average.weights)
    return figures or (trainer.judge(*judged) if len(judged[1]) else {})


def is_stale(best: dict[str, float] | None, epoch: int, most: int) -> bool:
    """Whether the best validation is `most` epochs old; never where `most` is 0."""
    return best is not None and 0 < most <= epoch - best["epoch"]


def records(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines."""
    if not (folder / LOG).exists():
        return
    with open_text(folder / LOG) as lines:
        for number, line in enumerate(lines, 1):
            place = f"{folder / LOG}, line {number}"
            record = parse_object(line, place)
            if not {"epoch", "loss"} <= set(record) or not all(
                isinstance(value, int | float) for value in record.values()
            ):
                raise DataError(f"{place} is no epoch's figures; choose another --output")
            yield record


def validations(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines that hold validation figures."""
    return (record for record in records(folder) if "ndcg@10" in record)


def describe(args: argparse.Namespace, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """What config.json says about the training."""
    train = dataset.split.train
    return {
        "data": args.name or args.data.resolve().name,
        "terms": args.terms or stated_terms([args.data, *args.add]),
        **Reading.of(args).held_back(args.data),
        "users": len(train),
        "interactions": len(train.items),
        "settings": asdict(settings),
    }


def write_run(
    folder: Path, trainer: Trainer, figures: dict[str, float], dataset: Dataset, training: dict[str, Any]
) -> None:
    """Write config.json, metrics.json and the vocabulary beside the weights."""
    settings = trainer.settings
    config = {
        "architecture": "gsasrec",
        "items": trainer.items,
        "dimension": settings.dimension,
        "maximum_length": settings.maximum_length,
        "heads": settings.heads,
        "blocks": settings.blocks,
        "vocabulary": VOCABULARY,
        "training": training | {"epochs_run": trainer.epoch},
        "metrics": figures,
    }
    (folder / CONFIG).write_text(to_json(config, indent=2) + "\n")
    (folder / METRICS).write_text(to_json(figures, indent=2) + "\n")
    (folder / VOCABULARY).write_bytes(dataset.vocabulary.astype("<u4").tobytes())
