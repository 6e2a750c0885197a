"""A block's biases, moved to where they cost nothing; the result is the same up to rounding.

- The key bias adds the same number to all of a query's logits, and softmax does not see it: dropped.
- Attention weights add up to 1, so the value bias is a constant added to the attention's output. It moves
  into the bias of the LayerNorm that makes the residual; the query's bias takes it out again.
- The second dense layer's bias moves into the bias of the LayerNorm before it; the first dense layer's bias
  takes it out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marquee_onnx.weights import Block, Dense, Floats, Norm


@dataclass(frozen=True)
class FoldedBlock:
    """A block after the bias folding above: same output, no key, value or second dense bias.

    What is added to the logits by distance is left alone: it is not the same for all keys.
    """

    norm1: Norm
    query: Dense
    key: Floats
    value: Floats
    norm2: Norm
    dense1: Dense
    dense2: Floats
    distance_bias: Floats | None

    def biases(self) -> Floats:
        """[heads, L, L]: what is added to the logit of query i and key j; 0 where the key is newer.

        Of fewer positions they are the first rows and columns; the last row is that of the newest position.
        """
        assert self.distance_bias is not None
        steps = np.arange(self.distance_bias.shape[1])
        distances = steps[:, None] - steps
        return np.where(distances >= 0, self.distance_bias[:, np.maximum(distances, 0)], np.float32(0))


def fold(block: Block) -> FoldedBlock:
    """Move the biases of `block` to where they cost nothing; computed in float64, returned in float32."""

    def f64(array: Floats) -> Floats:
        return np.asarray(array, np.float64)

    def f32(array: Floats) -> Floats:
        return np.asarray(array, np.float32)

    query_bias = f64(block.query.bias) - f64(block.value.bias) @ f64(block.query.weight)
    dense1_bias = f64(block.dense1.bias) - f64(block.dense2.bias) @ f64(block.dense1.weight)
    return FoldedBlock(
        norm1=Norm(f32(block.norm1.scale), f32(f64(block.norm1.bias) + f64(block.value.bias))),
        query=Dense(f32(block.query.weight), f32(query_bias)),
        key=f32(block.key.weight),
        value=f32(block.value.weight),
        norm2=Norm(f32(block.norm2.scale), f32(f64(block.norm2.bias) + f64(block.dense2.bias))),
        dense1=Dense(f32(block.dense1.weight), f32(dense1_bias)),
        dense2=f32(block.dense2.weight),
        distance_bias=None if block.distance_bias is None else f32(block.distance_bias),
    )
