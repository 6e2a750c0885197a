"""Write a bundle again with what bfloat16 loses in it, for one that was written before that was judged.

Graphs, tables and vocabulary stay as they are, to the byte; `metrics.bf16` and `native.bf16` of the manifest
say what was measured. It is the same model, so name and version stay too, unless `--version` says otherwise:
a server does not load two bundles of one version side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from marquee_onnx import bundle, precisions
from marquee_onnx.data import add_reading_arguments
from marquee_onnx.errors import UsageError
from marquee_onnx.folders import check_replaceable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `judge`."""
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--output", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--version", help="another version of the model")
    precisions.add_users_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    add_reading_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge a bundle and write it again."""
    if not (args.validate or args.data):
        raise UsageError("judge by whom? give --data FOLDER, or --validate INPUT OUTPUT")
    check_replaceable(args.output, bundle.MANIFEST, args.overwrite)
    judged = precisions.users_of(args, bundle.read_vocabulary(args.bundle))
    measured = precisions.compare(args.bundle, judged, "bf16")["bf16"]
    print(precisions.describe("bf16", measured))
    version = bundle.write_judged(args.output, args.bundle, measured, args.version, args.overwrite)
    print(f"wrote {args.output}, {version}")
    return 0
