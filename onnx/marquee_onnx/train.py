"""Train gSASRec on a MovieLens folder or a prepared split.

The run folder holds settings, log, curves and a resumable state while the run goes on, and at its end
`model.safetensors`, `config.json` and `vocabulary.u32`, which `evaluate` and `export` read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marquee_onnx.data import (
    DataError,
    Dataset,
    Histories,
    Ids,
    Reading,
    Split,
    add_reading_arguments,
    read_dataset,
)
from marquee_onnx.trainer import CHOICES, HELP, Settings, Trainer, write_tensors

STATE, LOG, SETTINGS = "state.safetensors", "log.jsonl", "settings.json"
MODEL, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.u32"
TERMS = "MovieLens: research use, no commercial use, no endorsement by the University of Minnesota"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    parser.add_argument("data", type=Path, help="a MovieLens folder or a prepared split")
    parser.add_argument("--output", type=Path, required=True, help="the run folder; a state in it is resumed")
    parser.add_argument("--name", default="", help="what the data is called in config.json")
    parser.add_argument("--terms", default=TERMS, help="the data's terms in config.json")
    add_reading_arguments(parser)
    parser.add_argument("--add", type=Path, action="append", default=[], help="more training histories")
    parser.add_argument("--validate-every", type=int, default=10, help="epochs between validations")
    parser.add_argument("--validation-users", type=int, default=8192, help="judge at most so many users")
    parser.add_argument("--patience", type=int, default=0, help="stop after so many validations without gain")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 lets PyTorch decide")
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
    dataset = load(args)
    args.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(dataset.split.train, len(dataset.vocabulary), settings, choose_device(args.device))
    resume(trainer, args.output)
    judged = subset(dataset.split, args.validation_users)
    best = train(trainer, args.output, judged, args.validate_every, args.patience)
    description = describe(args, dataset, settings)
    write_run(args.output, trainer, best, dataset, description)
    draw_curves(args.output)
    return 0


def load(args: argparse.Namespace) -> Dataset:
    """The dataset of the command line, with the histories that `--add` names."""
    reading = Reading(**{field.name: getattr(args, field.name) for field in fields(Reading)})
    dataset = read_dataset(args.data, reading)
    for folder in args.add:
        added = dataset.without_copies(read_dataset(folder, reading))
        dataset = dataset.with_histories(added)
    return dataset


def choose_device(name: str) -> torch.device:
    """CUDA where there is one, unless told otherwise."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def resume(trainer: Trainer, folder: Path) -> None:
    """Load the state of an earlier call with the same settings; only `epochs` may have changed."""
    settings = asdict(trainer.settings)
    if (folder / STATE).exists():
        earlier = json.loads((folder / SETTINGS).read_text())
        changed = sorted(name for name in settings if name != "epochs" and earlier[name] != settings[name])
        if changed:
            raise DataError(f"{folder} was begun with another {', '.join(changed)}; choose another --output")
        trainer.load(folder / STATE)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")


def subset(split: Split, most: int) -> tuple[Histories, Ids]:
    """At most so many judged users, the same ones every time."""
    if len(split.targets) <= most:
        return split.inputs, split.targets
    users = np.sort(np.random.default_rng(0).choice(len(split.targets), most, replace=False))
    return split.inputs.select(users), split.targets[users]


def train(
    trainer: Trainer, folder: Path, judged: tuple[Histories, Ids], every: int, patience: int
) -> dict[str, float]:
    """Run the epochs that are left, logging each; the figures of the weights that are kept.

    With patience the best validated weights are kept, else the last.
    """
    best = max(validations(folder), key=lambda record: record["ndcg@10"], default=None) if patience else None
    figures: dict[str, float] = {}
    while trainer.epoch < trainer.settings.epochs and not is_stale(best, trainer.epoch, patience * every):
        begin = time.perf_counter()
        record: dict[str, Any] = {"loss": trainer.run_epoch(), "epoch": trainer.epoch}
        record["seconds"] = round(time.perf_counter() - begin, 2)
        if len(judged[1]) and (trainer.epoch % every == 0 or trainer.epoch == trainer.settings.epochs):
            figures = trainer.judge(*judged)
            record |= figures
        if patience and figures and (best is None or figures["ndcg@10"] > best["ndcg@10"]):
            best = record
            write_tensors(folder / MODEL, trainer.average.weights)
        trainer.save(folder / STATE)
        with (folder / LOG).open("a") as log:
            log.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)
    if best is not None:
        return {name: value for name, value in best.items() if name not in ("epoch", "loss", "seconds")}
    write_tensors(folder / MODEL, trainer.average.weights)
    return figures or (trainer.judge(*judged) if len(judged[1]) else {})


def is_stale(best: dict[str, float] | None, epoch: int, most: int) -> bool:
    """Whether the best validation is `most` epochs old; never where `most` is 0."""
    return best is not None and 0 < most <= epoch - best["epoch"]


def records(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines."""
    if (folder / LOG).exists():
        yield from map(json.loads, (folder / LOG).read_text().splitlines())


def validations(folder: Path) -> Iterator[dict[str, float]]:
    """The log's lines that hold validation figures."""
    return (record for record in records(folder) if "ndcg@10" in record)


def describe(args: argparse.Namespace, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """What config.json says about the training."""
    train = dataset.split.train
    return {
        "data": args.name or args.data.name,
        "terms": args.terms,
        "split": args.split,
        "users": len(train),
        "interactions": len(train.items),
        "settings": asdict(settings),
    }


def write_run(
    folder: Path, trainer: Trainer, metrics: dict[str, float], dataset: Dataset, training: dict[str, Any]
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
        "metrics": metrics,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (folder / VOCABULARY).write_bytes(dataset.vocabulary.astype("<u4").tobytes())


def draw_curves(folder: Path) -> None:
    """Draw loss and validation over the epochs as curves.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    log = list(records(folder))
    left.plot([r["epoch"] for r in log], [r["loss"] for r in log])
    left.set(xlabel="epoch", ylabel="training loss")
    judged = list(validations(folder))
    for name in ("ndcg@10", "recall@10"):
        right.plot([r["epoch"] for r in judged], [r[name] for r in judged], marker="o", label=name)
    right.set(xlabel="epoch", ylabel="validation")
    right.legend()
    figure.savefig(folder / "curves.png", dpi=110)
    pyplot.close(figure)
