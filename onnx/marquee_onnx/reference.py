"""The forward pass in plain float64 NumPy, left-padded as the paper's authors wrote it.

Every graph of a bundle is held to this by the tests. It is written from the paper's wiring alone, shares no
code with the graphs, and favours being readable over being fast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.weights import Block, Dense, Floats, Norm, Weights

EPSILON = 1e-5
Float64 = NDArray[np.float64]


def layer_norm(x: Float64, norm: Norm) -> Float64:
    """LayerNorm over the last axis, biased variance, epsilon 1e-5."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.mean(centred * centred, -1, keepdims=True)
    return centred / np.sqrt(variance + EPSILON) * norm.scale.astype(np.float64) + norm.bias.astype(
        np.float64
    )


def dense(x: Float64, layer: Dense) -> Float64:
    """`x @ weight + bias`."""
    return x @ layer.weight.astype(np.float64) + layer.bias.astype(np.float64)


def attend(
    query: Float64,
    key: Float64,
    value: Float64,
    allowed: NDArray[np.bool_],
    heads: int,
    distance_bias: Floats | None,
) -> Float64:
    """Multi-head attention of [time, d] arrays, no output projection; `allowed[i, j]`: may i look at j?"""
    time, width = query.shape

    def split(x: Float64) -> Float64:
        return x.reshape(time, heads, width // heads).transpose(1, 0, 2)

    logits = split(query) @ split(key).transpose(0, 2, 1) / np.sqrt(width / heads)
    if distance_bias is not None:
        logits = logits + by_distance(distance_bias.astype(np.float64), time)
    logits = np.where(allowed, logits, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights = np.where(allowed, weights, 0.0)
    total = weights.sum(-1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return (weights @ split(value)).transpose(1, 0, 2).reshape(time, width)


def by_distance(bias: Float64, time: int) -> Float64:
    """[heads, time, time]: entry i - j of a head's bias for query i and key j."""
    spread = np.zeros((len(bias), time, time))
    for i in range(time):
        for j in range(i + 1):
            spread[:, i, j] = bias[:, i - j]
    return spread


def run_block(x: Float64, block: Block, real: NDArray[np.bool_], heads: int) -> Float64:
    """One block over [L, d]; keys and values come from x as it is, the residual is the normalised x."""
    causal = np.tril(np.ones((len(x), len(x)), bool))
    normed = layer_norm(x, block.norm1)
    parts = (dense(normed, block.query), dense(x, block.key), dense(x, block.value))
    attention = attend(*parts, causal & real[None, :], heads, block.distance_bias)
    z = layer_norm(attention + normed, block.norm2)
    out = z + dense(np.maximum(dense(z, block.dense1), 0.0), block.dense2)
    return np.asarray(out * real[:, None])


def encode(weights: Weights, items: Sequence[int]) -> Float64:
    """The user vector [d] of one history of item numbers, oldest first; only the newest L are looked at."""
    length = weights.shape.maximum_length
    newest = np.asarray(items[-length:], np.int64)
    if newest.size == 0 or newest.min() < 1 or newest.max() > weights.shape.items:
        raise ValueError(f"a history is at least one item number from 1 to {weights.shape.items}")
    real = np.zeros(length, bool)
    real[length - newest.size :] = True
    x = np.zeros((length, weights.shape.dimension))
    x[real] = weights.item_embedding[newest - 1].astype(np.float64)
    if weights.position_embedding is not None:
        x = (x + weights.position_embedding.astype(np.float64)) * real[:, None]
    for block in weights.blocks:
        x = run_block(x, block, real, weights.shape.heads)
    return layer_norm(x, weights.final_norm)[-1]


def score(weights: Weights, user: Float64) -> Float64:
    """Scores [N] of all items for one user vector; entry i is item i + 1."""
    return weights.output_embedding.astype(np.float64) @ user
