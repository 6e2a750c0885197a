"""Measure CPU encoder graphs: one sequence, one thread, median CPU time.

With a bundle: its own CPU encoders. Without: random weights of a shape, and beside the graphs that bundles
get the steps that led to them. The graphs take turns of eight runs (and one before, which is not counted, to
fetch the weights back into the caches), so that a slow moment of the machine hits all alike; only figures of
one table may be compared. CPU time leaves out the moments that others had the core.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from marquee_onnx import bench_batched, bundle, random_bundle, sessions, tables
from marquee_onnx.arguments import seconds, size
from marquee_onnx.errors import UsageError
from marquee_onnx.graphs.cpu import CpuEncoder, cpu_encoder
from marquee_onnx.graphs.folding import FoldedBlock
from marquee_onnx.graphs.int8 import int8_encoder
from marquee_onnx.graphs.naive import naive_encoder
from marquee_onnx.tables import Table
from marquee_onnx.weights import Shape, Weights

LENGTHS = (5, 10, 20, 50, 70, 100, 150, 200)
MIX = "mix"
MIX_SIZE = 64
TURN = 8
Sessions = Mapping[str, onnxruntime.InferenceSession]


class MatrixKeysEncoder(CpuEncoder):
    """The step before one-vector keys: the last block multiplies every position by its key matrix."""

    def one_query_attention(self, query: str, x: str, block: FoldedBlock, name: str) -> str:
        """The newest position over keys and values of all positions."""
        key = self.layers.dense(x, block.key, f"{name}.key")
        return self.attention(query, key, self.layers.dense(x, block.value, f"{name}.value"), [], causal=0)


def matrix_keys_encoder(weights: Weights, located: Mapping[str, Table]) -> ModelProto:
    """The fp32 encoder without the last block's one-vector keys and values."""
    return MatrixKeysEncoder(weights, located).build()


VARIANTS = {
    "naive": naive_encoder,
    "matrix-keys": matrix_keys_encoder,
    "fp32": cpu_encoder,
    "int8": int8_encoder,
}


def sessions_of_shape(shape: Shape, folder: Path) -> Sessions:
    """Sessions of every variant, with random weights."""
    weights = random_bundle.random_weights(shape, seed=0)
    located = tables.write(folder / tables.FILE, tables.of(weights), "f32")
    opened = {}
    for name, author in VARIANTS.items():
        onnx.save(author(weights, located), folder / f"{name}.onnx")
        opened[name] = sessions.open_session(folder / f"{name}.onnx")
    return opened


def sessions_of_bundle(folder: Path) -> tuple[Shape, Sessions]:
    """Sessions of a bundle's CPU encoders, the naive one first."""
    manifest = bundle.read_manifest(folder)
    graphs = [g for g in manifest["graphs"] if g["device"] == "cpu" and g["role"].endswith("encoder")]
    graphs.sort(key=lambda graph: graph["role"] == "encoder")
    names = {g["file"]: "naive" if g["role"].startswith("naive") else g["precision"] for g in graphs}
    return bundle.shape_of(manifest), {
        name: sessions.open_session(folder / file) for file, name in names.items()
    }


def mixed_lengths(maximum_length: int, rng: np.random.Generator) -> list[int]:
    """Lengths of histories as MovieLens has them: 19 + LogNormal(3.93, 1.42), cut at L."""
    drawn = 19 + rng.lognormal(3.93, 1.42, MIX_SIZE)
    return np.minimum(drawn, maximum_length).astype(int).tolist()


def measure(opened: Sessions, shape: Shape, seconds: float, seed: int = 0) -> dict[str, dict[str, float]]:
    """Median milliseconds, `[length or "mix"][graph]`; about `seconds` are spent on each row."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {str(n): [n] for n in LENGTHS if n <= shape.maximum_length}
    rows[MIX] = mixed_lengths(shape.maximum_length, rng)
    results = {}
    for row, lengths in rows.items():
        feeds = [
            sessions.encoder_feed([rng.integers(1, shape.items + 1, n).tolist()], shape.maximum_length)
            for n in lengths
        ]
        times: dict[str, list[float]] = defaultdict(list)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) == 0:
            for name, session in opened.items():
                for turn in range(TURN + 1):
                    begin = time.thread_time()
                    for feed in feeds:
                        session.run(["user"], feed)
                    if turn > 0:
                        times[name].append((time.thread_time() - begin) / len(feeds) * 1e3)
        results[row] = {name: float(np.median(values[len(values) // 10 :])) for name, values in times.items()}
    return results


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """The medians as a Markdown table; in brackets how many times faster than the first graph."""
    names = list(next(iter(results.values())))
    lines = [f"| length | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row, values in results.items():
        cells = [f"{values[name]:.3f} ({values[names[0]] / values[name]:.2f}x)" for name in names]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def operator_times(graph: Path, shape: Shape, length: int, runs: int = 50) -> list[tuple[str, int, float]]:
    """(operator, nodes, microseconds of one run) from ONNX Runtime's profiler, slowest first."""
    with tempfile.TemporaryDirectory() as folder:
        session = sessions.open_session(graph, profile_prefix=str(Path(folder) / "profile"))
        history = np.random.default_rng(0).integers(1, shape.items + 1, length).tolist()
        feed = sessions.encoder_feed([history], shape.maximum_length)
        for _ in range(runs):
            session.run(["user"], feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"])
    count: Counter[str] = Counter(op for op, _ in nodes)
    total: dict[str, float] = defaultdict(float)
    for (op, _), durations in nodes.items():
        total[op] += float(np.median(durations))
    return sorted(((op, count[op], total[op]) for op in count), key=lambda row: -row[2])


def profile_report(graphs: Iterable[Path], shape: Shape, length: int) -> str:
    """Operators of each graph at one length."""
    lines = []
    for graph in graphs:
        lines.append(f"{graph.name} at length {length}, microseconds (the profiler's own cost is in them):")
        rows = operator_times(graph, shape, length)
        lines += [f"  {op:<24} {nodes:3d} nodes {duration:9.1f}" for op, nodes, duration in rows]
    return "\n".join(lines)


def processor() -> str:
    """The processor's name, for the table's caption."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench`."""
    parser.add_argument("bundle", type=Path, nargs="?", help="measure this bundle's CPU encoders")
    random_bundle.add_shape_arguments(parser, replace(random_bundle.ML32M, items=20_000))
    parser.add_argument("--seconds", type=seconds, default=3, help="time to spend on each row of the table")
    parser.add_argument(
        "--profile", type=size, metavar="LENGTH", help="operators' times at one length instead"
    )
    parser.add_argument(
        "--batched",
        choices=("cuda", "cpu"),
        help="verify and measure the bundle's batched graphs there instead",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table, or the operators' times."""
    if args.batched:
        if args.bundle is None:
            raise UsageError("which bundle? marquee-onnx bench BUNDLE --batched cuda")
        print(bench_batched.report(args.bundle, args.batched, args.seconds))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.bundle or Path(temporary)
        if args.bundle:
            shape, opened = sessions_of_bundle(folder)
        else:
            shape = random_bundle.shape_of(args)
            opened = sessions_of_shape(shape, folder)
        if args.profile:
            del opened
            print(
                profile_report(
                    sorted(folder.glob("*encoder*cpu*.onnx")) or sorted(folder.glob("*.onnx")),
                    shape,
                    args.profile,
                )
            )
            return 0
        print(f"{processor()}, ONNX Runtime {onnxruntime.__version__}, 1 thread, {shape}")
        print("median CPU milliseconds of one encoding (times faster than the first column)\n")
        print(table(measure(opened, shape, args.seconds)))
    return 0
