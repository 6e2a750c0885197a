"""A bundle of any shape with seeded random weights, for load tests; ML-32M's shape unless told otherwise.

The numbers come from the raw stream of PCG64, which NumPy promises never to change, by exact integer sums, so
that a bundle that travelled without its tables gets the very same ones from its seed anywhere.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bundle, catalogue, runs, tables
from marquee_onnx.arguments import seed, size
from marquee_onnx.errors import BundleError, MarqueeError, UsageError
from marquee_onnx.folders import check_replaceable
from marquee_onnx.weights import POSITIONS, Block, Dense, Floats, Norm, Shape, Weights

ML32M = Shape(items=84_432, dimension=256, maximum_length=200, heads=8, blocks=4)
TABLE_DEVIATION = 0.05
STREAMS = {name: stream for stream, name in enumerate(tables.NAMES)}
FIRST_BLOCK_STREAM = 16
# The variance of a sum of four uniform 16-bit numbers.
SUM_DEVIATION = np.sqrt(4 * (65536.0**2 - 1) / 12)


@dataclass(frozen=True)
class Stream:
    """Bell-shaped random numbers (sums of four uniforms), the same for a seed on every machine."""

    seed: int
    number: int

    def draw(self, *shape: int, deviation: float) -> NDArray[np.float32]:
        """A new array from the start of the stream."""
        generator = np.random.PCG64(np.random.SeedSequence([self.seed, self.number]))
        count = int(np.prod(shape))
        raw = np.asarray(generator.random_raw(count), np.uint64).astype("<u8").view("<u2").reshape(count, 4)
        centred = raw.sum(axis=1, dtype=np.int32) - 2 * 65535
        return (centred.astype(np.float32) * np.float32(deviation / SUM_DEVIATION)).reshape(shape)


def random_tables(shape: Shape, seed: int) -> dict[str, Floats]:
    """The tables of a seed."""
    rows = dict.fromkeys(tables.ALWAYS, shape.items)
    if shape.positions == "right":
        rows["position_embedding"] = shape.maximum_length
    return {
        name: Stream(seed, STREAMS[name]).draw(count, shape.dimension, deviation=TABLE_DEVIATION)
        for name, count in rows.items()
    }


def random_weights(shape: Shape, seed: int) -> Weights:
    """A whole network of a seed. Layers are scaled so that activations stay of order 1 through the blocks."""
    dimension = shape.dimension
    stream = FIRST_BLOCK_STREAM

    def draw(*sizes: int, deviation: float) -> Floats:
        nonlocal stream
        stream += 1
        return Stream(seed, stream).draw(*sizes, deviation=deviation)

    def norm() -> Norm:
        return Norm(1 + draw(dimension, deviation=0.1), draw(dimension, deviation=0.1))

    def dense() -> Dense:
        return Dense(draw(dimension, dimension, deviation=dimension**-0.5), draw(dimension, deviation=0.05))

    def block() -> Block:
        layers = (norm(), dense(), dense(), dense(), norm(), dense(), dense())
        if shape.positions == "right":
            return Block(*layers)
        return Block(*layers, distance_bias=draw(shape.heads, shape.maximum_length, deviation=1.0))

    blocks = tuple(block() for _ in range(shape.blocks))
    drawn = random_tables(shape, seed)
    return Weights(
        shape=shape,
        item_embedding=drawn["item_embedding"],
        output_embedding=drawn["output_embedding"],
        position_embedding=drawn.get("position_embedding"),
        blocks=blocks,
        final_norm=norm(),
    )


def gapped_vocabulary(items: int) -> NDArray[np.uint32]:
    """Movie ids 1, 2, 3, 5, 6, 7, 9, …: every fourth is left out, as real catalogues have gaps."""
    number = np.arange(items, dtype=np.uint32)
    return (number + number // 3 + 1).astype(np.uint32)


def movielens_vocabulary(path: Path, items: int) -> NDArray[np.uint32]:
    """The first `items` movie ids of a MovieLens movies.csv, plain or gzipped."""
    ids = np.array([movie for movie, _ in catalogue.read_commas(path)], np.uint32)
    if ids.size < items:
        raise MarqueeError(f"{path} holds {ids.size} movies, {items} are wanted: choose fewer --items")
    return ids[:items]


def restore_tables(folder: Path) -> None:
    """Make the tables of a random bundle again from its seed, and check the bundle whole."""
    manifest = bundle.read_manifest(folder)
    if "random" not in manifest["training"]:
        raise BundleError(f"{folder} was trained: its tables cannot be made again")
    shape, precision = bundle.shape_of(manifest), manifest["tables"]["precision"]
    write_tables(
        folder / tables.FILE, random_tables(shape, int(manifest["training"]["random"]["seed"])), precision
    )
    bundle.check(folder)


def write_tables(path: Path, arrays: dict[str, Floats], precision: str) -> None:
    """Write through a temporary name, so that a half-written file is never taken for the tables."""
    partial = path.with_name(f".{path.name}.partial")
    tables.write(partial, arrays, precision)
    partial.replace(path)


def add_shape_arguments(parser: argparse.ArgumentParser, usual: Shape) -> None:
    """Declare the sizes of a network that is made up, and how it knows the items' order."""
    for name, value in asdict(usual).items():
        option = f"--{name.replace('_', '-')}"
        if name == "positions":
            parser.add_argument(option, choices=POSITIONS, default=value, help="as of `train`")
        else:
            parser.add_argument(option, type=size, default=value, help=f"{value} when absent")


def shape_of(args: argparse.Namespace) -> Shape:
    """What the command line says of the network."""
    return Shape(**{field.name: getattr(args, field.name) for field in fields(Shape)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `random`."""
    parser.add_argument("bundle", type=Path, nargs="?", help="folder to write")
    add_shape_arguments(parser, ML32M)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--name", default="random")
    parser.add_argument("--version", default=None, help="seed-SEED-CONTENT when absent")
    parser.add_argument("--tables", choices=tables.PRECISIONS, default="f32", help="precision of the tables")
    parser.add_argument(
        "--movies", type=Path, help="movies.csv or movies.csv.gz whose ids become the vocabulary"
    )
    parser.add_argument("--with-int8", action="store_true", help="add the 8-bit encoder, unjudged")
    parser.add_argument("--with-naive", action="store_true", help="add the graphs that benches compare with")
    parser.add_argument(
        "--with-weights", type=Path, metavar="FILE", help="also write the state dict (.safetensors)"
    )
    parser.add_argument("--without-tables", action="store_true", help="leave the tables file out")
    parser.add_argument(
        "--restore-tables", type=Path, metavar="BUNDLE", help="make that bundle's tables again"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")


def run(args: argparse.Namespace) -> int:
    """Write a random bundle, or restore the tables of one."""
    if args.restore_tables:
        restore_tables(args.restore_tables)
        print(f"restored {args.restore_tables / tables.FILE}")
        return 0
    if args.bundle is None:
        raise UsageError("which folder? marquee-onnx random BUNDLE")
    if args.with_weights and args.with_weights.is_dir():
        raise MarqueeError(f"{args.with_weights} is a folder; name a file for the weights")
    check_replaceable(args.bundle, bundle.MANIFEST, args.overwrite)
    shape = shape_of(args)
    vocabulary = (
        movielens_vocabulary(args.movies, shape.items) if args.movies else gapped_vocabulary(shape.items)
    )
    weights = random_weights(shape, args.seed)
    model = bundle.Model(
        name=args.name,
        version=args.version or bundle.Stamp(f"seed-{args.seed}"),
        weights=weights,
        vocabulary=vocabulary,
        training={"data": "none: random weights", "terms": "none", "random": {"seed": args.seed}},
        metrics={},
    )
    graphs = [*bundle.STANDARD_GRAPHS]
    if args.with_int8:
        graphs.append(bundle.INT8_ENCODER)
    if args.with_naive:
        graphs += bundle.NAIVE_GRAPHS
    version = bundle.write(args.bundle, model, graphs, args.tables, args.overwrite)
    if args.with_weights:
        runs.write_weights(args.with_weights, weights)
    if args.without_tables:
        (args.bundle / tables.FILE).unlink()
    print(f"wrote {args.bundle}, {version}: {json.dumps(asdict(shape))}")
    return 0
