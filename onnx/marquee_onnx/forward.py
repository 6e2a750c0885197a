"""The forward pass in float32 NumPy over batches: fast enough to judge thousands of users without PyTorch.

The same network as `reference.py`, which is float64 and one history at a time; the tests hold this to it.
Histories are right-padded, which a causal network allows, and the last block attends from each history's
last position only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.data import Ids
from marquee_onnx.weights import Block, Dense, Norm, Weights

EPSILON = np.float32(1e-5)
Float32 = NDArray[np.float32]


def encode(weights: Weights, histories: Sequence[Ids]) -> Float32:
    """User vectors [users, d] of non-empty histories, of which the newest L items are looked at."""
    length = weights.shape.maximum_length
    newest = [history[-length:] for history in histories]
    lengths = np.array([len(history) for history in newest])
    x = np.zeros((len(newest), int(lengths.max()), weights.shape.dimension), dtype=np.float32)
    for row, history in enumerate(newest):
        x[row, : len(history)] = weights.item_embedding[history - 1]
        if weights.position_embedding is not None:
            x[row, : len(history)] += weights.position_embedding[length - len(history) :]
    last = (np.arange(len(newest)), lengths - 1)
    for block in weights.blocks[:-1]:
        x = run_block(x, x, block, weights.shape.heads, np.arange(x.shape[1])[None, :])
    if weights.blocks:
        x = run_block(x[last][:, None], x, weights.blocks[-1], weights.shape.heads, last[1][:, None])
    return layer_norm(x[:, 0], weights.final_norm)


def run_block(x: Float32, context: Float32, block: Block, heads: int, steps: NDArray[np.int64]) -> Float32:
    """One block for rows x [users, queries, d], standing at `steps` [users or 1, queries] of the context."""
    normed = layer_norm(x, block.norm1)
    biases = None if block.distance_bias is None else distance_biases(block, steps, context.shape[1])
    parts = (dense(normed, block.query), dense(context, block.key), dense(context, block.value))
    attended = attend(*parts, heads, steps, biases)
    z = layer_norm(attended + normed, block.norm2)
    return z + dense(np.maximum(dense(z, block.dense1), 0), block.dense2)


def distance_biases(block: Block, steps: NDArray[np.int64], time: int) -> Float32:
    """[users or 1, heads, queries, time]: what is added to the logits; anything where the key is newer."""
    distances = np.maximum(steps[:, :, None] - np.arange(time), 0)
    return np.asarray(block.distance_bias, np.float32)[:, distances].transpose(1, 0, 2, 3)


def attend(
    query: Float32,
    key: Float32,
    value: Float32,
    heads: int,
    steps: NDArray[np.int64],
    biases: Float32 | None = None,
) -> Float32:
    """Causal multi-head attention without an output projection."""
    query, key, value = (
        x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (query, key, value)
    )
    scores = query @ key.transpose(0, 1, 3, 2) * np.float32(query.shape[3] ** -0.5)
    if biases is not None:
        scores = scores + biases
    future = np.arange(key.shape[2]) > steps[:, :, None]
    scores = np.where(future[:, None], np.float32(-np.inf), scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ value
    return mixed.transpose(0, 2, 1, 3).reshape(len(mixed), mixed.shape[2], -1)


def dense(x: Float32, layer: Dense) -> Float32:
    """`x @ weight + bias` over the last axis."""
    return np.asarray(x @ layer.weight + layer.bias, dtype=np.float32)


def layer_norm(x: Float32, norm: Norm) -> Float32:
    """LayerNorm over the last axis, biased variance, epsilon 1e-5."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.mean(centred * centred, -1, keepdims=True)
    return centred / np.sqrt(variance + EPSILON) * norm.scale + norm.bias
