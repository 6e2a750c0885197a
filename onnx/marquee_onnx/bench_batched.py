"""Measure and verify the batched graphs of a bundle on a provider of ONNX Runtime.

Meant for the CUDA provider (`onnxruntime-gpu` in place of `onnxruntime`): inputs and outputs lie on the
device, no node may fall back to the CPU. The CPU provider runs the same code, for tests; its figures say
nothing about a GPU. Before anything is timed, a ragged batch is compared with the fp32 CPU encoder, and the
scorer with exact scores.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from marquee_onnx import bundle, metrics, sessions, tables
from marquee_onnx.errors import BundleError
from marquee_onnx.weights import Shape

SHAPES = ((1, 200), (16, 200), (64, 200), (256, 200), (1024, 200), (256, 96), (1024, 64))
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
RAGGED = 64
BEST = 10
Feed = Mapping[str, NDArray[np.generic]]


class DeviceSession:
    """A session whose inputs and outputs stay where the provider computes."""

    def __init__(self, graph: Path, provider: str) -> None:
        if PROVIDERS[provider] not in onnxruntime.get_available_providers():
            raise BundleError(f"this ONNX Runtime has no {PROVIDERS[provider]}: install onnxruntime-gpu")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if provider != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        self.device = provider
        self.session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDERS[provider]])

    def run(self, feed: Feed) -> dict[str, NDArray[np.generic]]:
        """Every output of one run, on the host."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, dict(feed)), strict=True))

    def milliseconds(self, feed: Feed, seconds: float) -> float:
        """Median time of one run with bound inputs and outputs, measured for about `seconds`."""
        binding = self.session.io_binding()
        for name, value in feed.items():
            on_host = name == "k"
            value = onnxruntime.OrtValue.ortvalue_from_numpy(value, "cpu" if on_host else self.device, 0)
            binding.bind_ortvalue_input(name, value)
        for output in self.session.get_outputs():
            binding.bind_output(output.name, self.device)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            begin = time.perf_counter()
            self.session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            times.append(time.perf_counter() - begin)
        return float(np.median(times[1:]) * 1e3)


def graph_of(folder: Path, role: str, device: str) -> Path:
    """The file of a bundle's graph."""
    for entry in bundle.read_manifest(folder)["graphs"]:
        if (entry["role"], entry["device"]) == (role, device):
            return folder / entry["file"]
    raise BundleError(f"{folder} has no {role} for {device}")


def random_histories(shape: Shape, lengths: NDArray[np.integer]) -> list[list[int]]:
    """Histories of these lengths, of random items."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, shape.items + 1, length).tolist() for length in lengths]


def scorer_feed(users: NDArray[np.float32], histories: list[list[int]], k: int) -> Feed:
    """Inputs of the scorer that leave out what each user has seen."""
    excluded = np.zeros((len(users), max(map(len, histories))), np.int64)
    for row, history in enumerate(histories):
        excluded[row, : len(history)] = history
    return {"user": users, "excluded": excluded, "k": np.array([k], np.int64)}


def verify(folder: Path, shape: Shape, encoder: DeviceSession, scorer: DeviceSession) -> tuple[float, float]:
    """(relative error of the vectors, share of the exact best that the scorer finds) on a ragged batch."""
    lengths = np.linspace(1, shape.maximum_length, RAGGED).astype(int)
    histories = random_histories(shape, lengths)
    exact = sessions.open_session(graph_of(folder, "encoder", "cpu"))
    expected = np.stack([sessions.encode(exact, history, shape.maximum_length) for history in histories])
    users = np.asarray(
        encoder.run(sessions.encoder_feed(histories, shape.maximum_length))["user"], np.float32
    )
    table = np.asarray(tables.read(folder / tables.FILE)["output_embedding"], np.float32)
    best = metrics.top_items(expected @ table.T, [np.array(history) for history in histories], BEST)
    found = scorer.run(scorer_feed(users, histories, min(BEST, shape.items)))["items"]
    error = float(np.abs(users - expected).max() / np.abs(expected).max())
    return error, float(np.mean([np.isin(a, b).mean() for a, b in zip(best, found, strict=True)]))


def report(folder: Path, provider: str, seconds: float) -> str:
    """The verification and the table of times, as Markdown."""
    shape = bundle.shape_of(bundle.check(folder))
    encoder = DeviceSession(graph_of(folder, "encoder", "cuda"), provider)
    scorer = DeviceSession(graph_of(folder, "scorer", "cuda"), provider)
    error, found = verify(folder, shape, encoder, scorer)
    lines = [
        f"{provider}, ONNX Runtime {onnxruntime.__version__}, {shape}",
        f"{RAGGED} ragged histories: error {error:.1e} against fp32 on the CPU, top-10 overlap {found:.3f}",
        "",
        "| batch x length | encode, ms | sequences/s | score and best 300, ms |",
        "|---|---|---|---|",
    ]
    for batch, length in SHAPES:
        histories = random_histories(shape, np.full(batch, min(length, shape.maximum_length)))
        feed = sessions.encoder_feed(histories, shape.maximum_length)
        encode = encoder.milliseconds(feed, seconds)
        users = np.asarray(encoder.run(feed)["user"], np.float32)
        score = scorer.milliseconds(scorer_feed(users, histories, min(300, shape.items)), seconds)
        lines.append(f"| {batch} x {length} | {encode:.3f} | {batch / encode * 1e3:,.0f} | {score:.3f} |")
    return "\n".join(lines)
