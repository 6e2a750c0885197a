"""Write the bundle of a run folder.

With users to judge by (`--validate` or `--data`) the 8-bit encoder is made too, and kept only if its nDCG@10
stays within 0.5% of fp32's on them; the bundle says what was measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from marquee_onnx import bundle, metrics, runs, tables
from marquee_onnx.data import add_reading_arguments
from marquee_onnx.errors import MarqueeError, UsageError
from marquee_onnx.evaluate import Judged, read_judged, score_batches
from marquee_onnx.folders import check_replaceable
from marquee_onnx.recommenders import BundleModel

LARGEST_LOSS = 0.005
METRIC = "ndcg@10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.add_argument("run", type=Path, help="run folder of `train` or `import-checkpoint`")
    parser.add_argument("bundle", type=Path, nargs="?", help="the same as --output BUNDLE")
    parser.add_argument("--output", type=Path, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--name", help="name of the model; the run folder's when absent")
    parser.add_argument(
        "--version", help="version of the model; TIME-CONTENT when absent, new for every export"
    )
    parser.add_argument("--tables", choices=tables.PRECISIONS, default="f32", help="precision of the tables")
    parser.add_argument(
        "--validate",
        type=Path,
        nargs=2,
        metavar=("INPUT", "OUTPUT"),
        help="users to judge the 8-bit graph by",
    )
    parser.add_argument("--items", type=Path, help="items.tsv that numbers the items of those files")
    parser.add_argument("--data", type=Path, help="judge by the split of this folder instead")
    parser.add_argument("--with-naive", action="store_true", help="add the graphs that benches compare with")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    add_reading_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Export a run."""
    output = bundle_folder(args)
    if output.resolve() in (args.run.resolve(), *args.run.resolve().parents):
        raise MarqueeError(f"{output} holds the run: choose another place for the bundle")
    check_replaceable(output, bundle.MANIFEST, args.overwrite)
    trained = runs.read(args.run)
    model = bundle.Model(
        name=args.name or args.run.resolve().name,
        version=args.version or bundle.Stamp(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())),
        weights=trained.weights,
        vocabulary=trained.vocabulary,
        training=trained.training,
        metrics=trained.metrics,
        titles=trained.titles,
    )
    graphs = [*bundle.STANDARD_GRAPHS, *(bundle.NAIVE_GRAPHS if args.with_naive else ())]
    if args.validate or args.data:
        judged = validation_users(args, trained)
        measured = judge_int8(model, judged, args.tables)
        model = replace(model, metrics={**model.metrics, "int8": measured})
        if measured["kept"]:
            graphs.append(bundle.INT8_ENCODER)
        print(f"int8 {'kept' if measured['kept'] else 'left out'}: {measured}")
    version = bundle.write(output, model, graphs, args.tables, args.overwrite)
    print(f"wrote {output}, {version}: {', '.join(sorted(path.name for path in output.iterdir()))}")
    return 0


def bundle_folder(args: argparse.Namespace) -> Path:
    """The one folder that the command line names."""
    named = {folder for folder in (args.bundle, args.output) if folder is not None}
    if len(named) != 1:
        raise UsageError("which folder? marquee-onnx export RUN --output BUNDLE")
    return Path(named.pop())


def validation_users(args: argparse.Namespace, trained: runs.Run) -> Judged:
    """The users of the command line, in the run's item numbers."""
    args.train = None
    args.input, args.output = args.validate or (None, None)
    judged = read_judged(args)
    return judged if judged.vocabulary is None else judged.renumbered(trained.vocabulary)


def judge_int8(model: bundle.Model, judged: Judged, precision: str) -> Mapping[str, Any]:
    """nDCG@10 of the fp32 and the 8-bit graph, how alike their best ten are, and whether 8 bits may stay."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        bundle.write(folder, model, (bundle.CPU_ENCODER, bundle.INT8_ENCODER), precision)
        fp32, best_fp32 = judge(BundleModel(folder, "fp32"), judged)
        int8, best_int8 = judge(BundleModel(folder, "int8"), judged)
    shared = [np.isin(a, b).mean() for a, b in zip(best_fp32, best_int8, strict=True)]
    return {
        METRIC: int8,
        f"{METRIC} of fp32": fp32,
        "top-10 overlap": float(np.mean(shared)),
        "users": len(judged.targets),
        "kept": fp32 > 0 and int8 >= fp32 * (1 - LARGEST_LOSS),
    }


def judge(recommender: BundleModel, judged: Judged) -> tuple[float, np.ndarray]:
    """nDCG@10 and the ten best items of every user, unseen ones only."""
    rank = np.empty(len(judged.targets), np.int64)
    best = np.empty((len(rank), min(10, recommender.items)), np.int32)
    for users, histories, scores in score_batches(recommender, judged.inputs):
        targets = judged.targets[users]
        rank[users] = metrics.ranks(scores, histories, np.maximum(targets, 1))
        rank[users[targets == 0]] = recommender.items
        best[users] = metrics.top_items(scores, histories, 10)
    return metrics.summary(rank)[METRIC], best
