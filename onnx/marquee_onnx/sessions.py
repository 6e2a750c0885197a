"""ONNX Runtime sessions as the server makes them: one intra-op thread, no spinning, CPU provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

History: TypeAlias = Sequence[int] | NDArray[np.integer]


def open_session(
    graph: Path, threads: int = 1, profile_prefix: str | None = None
) -> onnxruntime.InferenceSession:
    """A CPU session; `profile_prefix` turns the profiler on and begins its file's name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def encoder_feed(histories: Sequence[History], maximum_length: int) -> dict[str, NDArray[np.generic]]:
    """Right-padded inputs of any encoder; only the newest `maximum_length` items of a history are taken."""
    newest = [np.asarray(history[-maximum_length:], np.int64) for history in histories]
    time = max(map(len, newest))
    items = np.zeros((len(newest), time), np.int64)
    positions = np.zeros_like(items)
    for row, history in enumerate(newest):
        items[row, : history.size] = history
        positions[row, : history.size] = np.arange(maximum_length - history.size, maximum_length)
    return {"items": items, "positions": positions, "lengths": np.array([len(h) for h in newest], np.int32)}


def encode(
    session: onnxruntime.InferenceSession, history: History, maximum_length: int
) -> NDArray[np.float32]:
    """The user vector [d] of one history."""
    (users,) = session.run(["user"], encoder_feed([history], maximum_length))
    return np.asarray(users[0], np.float32)
