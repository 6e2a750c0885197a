"""Write the bundle of a run folder.

With users to judge by (`--validate` or `--data`) the 8-bit encoder is made too, and kept only if its nDCG@10
stays within 0.5% of fp32's on them. An encoder that multiplies in bfloat16 needs no graph of its own; the
bundle says whether one may serve, and what was measured of both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from marquee_onnx import bundle, precisions, runs, tables
from marquee_onnx.data import add_reading_arguments
from marquee_onnx.errors import MarqueeError, UsageError
from marquee_onnx.folders import check_replaceable
from marquee_onnx.judged import Judged


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
    precisions.add_users_arguments(parser)
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
        keys=trained.keys,
    )
    graphs = [*bundle.STANDARD_GRAPHS, *(bundle.NAIVE_GRAPHS if args.with_naive else ())]
    if args.validate or args.data:
        judged = precisions.users_of(args, trained.vocabulary)
        measured = judge(model, judged, args.tables)
        model = replace(model, metrics={**model.metrics, **measured})
        if measured["int8"]["kept"]:
            graphs.append(bundle.INT8_ENCODER)
        for precision, figures in measured.items():
            print(precisions.describe(precision, figures))
    version = bundle.write(output, model, graphs, args.tables, args.overwrite)
    print(f"wrote {output}, {version}: {', '.join(sorted(path.name for path in output.iterdir()))}")
    return 0


def bundle_folder(args: argparse.Namespace) -> Path:
    """The one folder that the command line names."""
    named = {folder for folder in (args.bundle, args.output) if folder is not None}
    if len(named) != 1:
        raise UsageError("which folder? marquee-onnx export RUN --output BUNDLE")
    return Path(named.pop())


def judge(model: bundle.Model, judged: Judged, tables_precision: str) -> dict[str, Mapping[str, Any]]:
    """What the model loses in each precision below fp32, by its name."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        bundle.write(folder, model, (bundle.CPU_ENCODER, bundle.INT8_ENCODER), tables_precision)
        return precisions.compare(folder, judged, *precisions.LIMITS)
