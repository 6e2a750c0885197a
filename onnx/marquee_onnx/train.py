"""Train gSASRec on a MovieLens folder or a prepared split.

The run folder holds settings, log, curves and a resumable state while the run goes on, and at its end
`model.safetensors`, `config.json`, `vocabulary.u32`, `titles.u32` and `keys.txt`, which `evaluate` and
`export` read, and `ranks.safetensors`, by which `runs` compares it with others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from marquee_onnx import (
    catalogue,
    comparison,
    content_prior,
    from_server,
    metrics,
    movie_keys,
    run_log,
    titles,
    warm_start,
)
from marquee_onnx.arguments import count, positive, threads
from marquee_onnx.data import (
    Dataset,
    Moments,
    Reading,
    add_reading_arguments,
    read_dataset,
)
from marquee_onnx.enough import check_enough
from marquee_onnx.errors import DataError, MarqueeError, warn
from marquee_onnx.folders import check_unused
from marquee_onnx.judged import Judged, warn_of_other_split
from marquee_onnx.past_runs import SETTINGS
from marquee_onnx.progress import TimeLeft, draw_curves, epoch_line, opening_line, verdict
from marquee_onnx.terms import NOT_STATED, stated_terms
from marquee_onnx.text import read_object, to_json
from marquee_onnx.trainer import CHOICES, HELP, ITEM_TABLES, Settings, Trainer, shape_of, write_tensors
from marquee_onnx.warm_start import Earlier

STATE = "state.safetensors"
BEST, MODEL, CONFIG, VOCABULARY = "best.safetensors", "model.safetensors", "config.json", "vocabulary.u32"
METRICS, CURVES = "metrics.json", "curves.png"
NEW = "the new model"
# Settings that decide nothing of what a state holds.
MAY_CHANGE = ("epochs", "content_prior")
WRITTEN = (
    *(STATE, run_log.FILE, BEST, MODEL, CONFIG, VOCABULARY, METRICS, CURVES),
    *(titles.FILE, movie_keys.FILE, comparison.FILE),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    parser.add_argument("data", type=Path, help="a MovieLens folder or a prepared split")
    from_server.add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the run folder; a state in it is resumed")
    parser.add_argument("--name", default="", help="what the data is called in config.json")
    parser.add_argument(
        "--terms",
        help=f"the data's terms in config.json and the bundle; {NOT_STATED!r} unless the README beside the "
        "data is that of a MovieLens release",
    )
    add_reading_arguments(parser)
    parser.add_argument(
        "--warm-start",
        type=Path,
        metavar="MODEL",
        help="begin with the weights of this bundle or run folder: a few epochs are then enough",
    )
    parser.add_argument(
        "--in-service",
        type=Path,
        metavar="MODEL",
        help="judge this bundle or run folder beside the new model; that of --warm-start where absent",
    )
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
    server = from_server.server_of(args)
    if server is not None:
        from_server.fill(args.data, server)
    dataset = load(args)
    check_enough(dataset, args.data)
    hashes = titles.of_data(args.data, dataset.vocabulary)
    keys = movie_keys.of_data(args.data, dataset.vocabulary)
    said = content_prior.said_of(args.data, dataset.vocabulary) if settings.content_prior else None
    earlier = warm_start.read(args.warm_start) if args.warm_start else None
    trainer = Trainer(dataset.split.train, len(dataset.vocabulary), settings, device)
    if earlier is not None:
        begin_warm(trainer, earlier, args.data, dataset, keys)
    args.output.mkdir(parents=True, exist_ok=True)
    resume(trainer, args.output, begun_with(args, dataset, settings, earlier))
    judged = judged_of(dataset, args.validation_users)
    others = list(rivals(args, judged))
    baseline = metrics.summary(dict(others)["popularity"])["ndcg@10"] if others else None
    print(opening_line(dataset, len(judged.targets), trainer.epoch, settings.epochs), flush=True)
    train(trainer, args.output, judged, args.validate_every, args.patience, baseline)
    if said is not None:
        lean_on_content(args.output / MODEL, dataset, said, settings.content_prior)
    trainer.average.weights = load_file(args.output / MODEL, device=str(device))
    figures = judge(trainer, judged, others, args.output) if others else {}
    description = describe(args, dataset, settings) | {"judged_users": len(judged.targets)}
    if earlier is not None:
        description["warm_start"] = earlier.name
    write_run(args.output, trainer, figures, dataset, description)
    titles.write(args.output, hashes)
    movie_keys.write(args.output, keys)
    draw_curves(args.output / CURVES, list(run_log.read(args.output)), baseline)
    print(f"wrote {args.output}: {verdict(figures, baseline)}")
    return 0


def load(args: argparse.Namespace) -> Dataset:
    """The dataset of the command line, with the histories that `--add` names."""
    reading = Reading.of(args)
    dataset = read_dataset(args.data, reading)
    for folder in args.add:
        added = dataset.without_copies(read_dataset(folder, reading))
        dataset = dataset.with_histories(added)
    return dataset


def rivals(args: argparse.Namespace, judged: Judged) -> Iterator[tuple[str, metrics.Ranks]]:
    """What a model has to beat on the judged users: the model in service and the baselines."""
    assert judged.vocabulary is not None
    if not len(judged.targets):
        return
    in_service = args.in_service or args.warm_start
    if in_service is not None:
        warn_of_other_split(in_service, args)
        try:
            name, ranks = comparison.ranks_by(str(in_service), judged)
            yield f"in service: {name}", ranks
        except DataError as error:
            warn(f"the model in service is not judged beside: {error}")
    for name in comparison.baselines_for(len(judged.vocabulary)):
        yield comparison.ranks_by(name, judged)


def judge(
    trainer: Trainer, judged: Judged, others: Sequence[tuple[str, metrics.Ranks]], folder: Path
) -> dict[str, float]:
    """The figures of the model as it is written; its ranks, beside the others', go into the run folder."""
    ranks = trainer.ranks(judged.inputs, judged.targets)
    compared = comparison.beside(NEW, ranks, judged, others)
    compared.write(folder)
    print(*comparison.lines_of(compared), sep="\n")
    return metrics.summary(ranks)


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


def begin_warm(
    trainer: Trainer, earlier: Earlier, folder: Path, dataset: Dataset, keys: movie_keys.Keys | None
) -> None:
    """Begin with an earlier model; new movies by the catalogue of the data's folder where it has one."""
    sizes = shape_of(trainer.items, trainer.settings)
    warm_start.check_shape(earlier.weights.shape, sizes)
    listed = catalogue.find_catalogue(folder) is not None
    said = content_prior.said_of(folder, dataset.vocabulary) if listed else None
    events = events_of(dataset)
    called = earlier.calls(dataset.vocabulary, keys)
    trainer.begin_with(warm_start.begin(earlier, called, events, said))
    new = int((~np.isin(called, earlier.vocabulary)).sum())
    print(f"begins with {earlier.name}: {trainer.items - new:,} movies known, {new:,} new", flush=True)


def events_of(dataset: Dataset) -> NDArray[np.int64]:
    """How many training events each item has, [N]."""
    return np.bincount(dataset.split.train.items, minlength=len(dataset.vocabulary) + 1)[1:]


def begun_with(
    args: argparse.Namespace, dataset: Dataset, settings: Settings, earlier: Earlier | None = None
) -> dict[str, Any]:
    """What must stay as it was where a training goes on: settings, split, the movies' numbers, the start."""
    movies = hashlib.sha256(dataset.vocabulary.astype("<u4").tobytes()).hexdigest()
    start = {} if earlier is None else {"warm_start": earlier.digest}
    return asdict(settings) | Reading.of(args).held_back(args.data) | {"vocabulary": movies} | start


def resume(trainer: Trainer, folder: Path, settings: Mapping[str, Any]) -> None:
    """Load the state of an earlier call with the same settings, but for what `MAY_CHANGE`."""
    if (folder / STATE).exists():
        earlier = read_object(folder / SETTINGS)
        changed = sorted(
            name
            for name in {*settings, *earlier}
            if name not in MAY_CHANGE and earlier.get(name) != settings.get(name)
        )
        if changed:
            raise DataError(f"{folder} was begun with another {', '.join(changed)}; choose another --output")
        try:
            trainer.load(folder / STATE)
        except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder / STATE} is damaged or of other data; choose another --output"
            ) from error
        list(run_log.read(folder))  # a damaged log is an error now, not when the curves are drawn
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")


def judged_of(dataset: Dataset, most: int) -> Judged:
    """At most so many users to judge, the same ones every time."""
    split = dataset.split
    judged = Judged(split.inputs, split.targets, dataset.vocabulary, split.train, split.moments)
    if len(split.targets) <= most:
        return judged
    users = np.sort(np.random.default_rng(0).choice(len(split.targets), most, replace=False))
    moments = None if split.moments is None else Moments(*(part[users] for part in split.moments))
    return replace(judged, inputs=split.inputs.select(users), targets=split.targets[users], moments=moments)


def train(
    trainer: Trainer, folder: Path, judged: Judged, every: int, patience: int, baseline: float | None = None
) -> None:
    """Run the epochs that are left, logging each, and write the weights that are kept.

    With patience the best validated weights are kept, else the last. `baseline` is popularity's nDCG@10,
    printed beside each validation.
    """
    validations = run_log.validations(folder) if patience else ()
    best = max(validations, key=lambda record: record["ndcg@10"], default=None)
    left = TimeLeft(trainer.settings.epochs)
    while trainer.epoch < trainer.settings.epochs and not is_stale(best, trainer.epoch, patience * every):
        begin = time.perf_counter()
        record: dict[str, Any] = {"loss": trainer.run_epoch(), "epoch": trainer.epoch}
        if not math.isfinite(record["loss"]):
            raise MarqueeError(
                f"the loss of epoch {trainer.epoch} is no number: begin anew with a lower --rate"
            )
        record["seconds"] = round(time.perf_counter() - begin, 2)
        due = trainer.epoch % every == 0 or trainer.epoch == trainer.settings.epochs
        if due and len(judged.targets):
            record |= trainer.judge(judged.inputs, judged.targets)
            if patience and (best is None or record["ndcg@10"] > best["ndcg@10"]):
                best = record
                write_tensors(folder / BEST, trainer.average.weights)
        trainer.save(folder / STATE)
        run_log.add(folder, record)
        remaining = left.after(trainer.epoch, time.perf_counter() - begin)
        print(epoch_line(record, trainer.settings.epochs, remaining, baseline), flush=True)
    if best is None:
        write_tensors(folder / MODEL, trainer.average.weights)
        return
    shutil.copyfile(folder / BEST, folder / MODEL)
    if trainer.epoch < trainer.settings.epochs:
        print(f"stopped after epoch {trainer.epoch}: no gain in {patience} validations", flush=True)
    print(f"keeps the weights of epoch {best['epoch']}", flush=True)


def lean_on_content(model: Path, dataset: Dataset, said: Sequence[frozenset[str]], prior: float) -> None:
    """Let the rows of rare movies in the written model lean on what is said of them."""
    weights = load_file(model)
    events = events_of(dataset)
    for table, times in zip(ITEM_TABLES, (content_prior.TAKEN, 1.0), strict=True):
        rows = weights[table][1:-1]
        leaning = content_prior.lean(rows.numpy(), events, said, times * prior)
        rows.copy_(torch.from_numpy(leaning))
    write_tensors(model, weights)


def is_stale(best: dict[str, float] | None, epoch: int, most: int) -> bool:
    """Whether the best validation is `most` epochs old; never where `most` is 0."""
    return best is not None and 0 < most <= epoch - best["epoch"]


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
        "positions": settings.positions,
        "vocabulary": VOCABULARY,
        "training": training | {"epochs_run": trainer.epoch},
        "metrics": figures,
    }
    (folder / CONFIG).write_text(to_json(config, indent=2) + "\n")
    (folder / METRICS).write_text(to_json(figures, indent=2) + "\n")
    (folder / VOCABULARY).write_bytes(dataset.vocabulary.astype("<u4").tobytes())
