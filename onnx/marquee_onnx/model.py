"""gSASRec in PyTorch, wired as in the authors' public code, with the same state-dict keys.

The network is the one of Petrov and Macdonald (RecSys 2023): keys and values come from the block's
un-normalised input, the residual of the attention is the normalised query, and there is no output
projection. Sequences are padded on the right here, with position ids `L - n + i`: because attention is
causal, the last state equals that of the left-padded original and no padding mask is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TABLES = ("item_embedding", "position_embedding", "output_embedding")


class Dropout(nn.Module):
    """Dropout that draws bytes on the CPU, where `torch.bernoulli` costs 12 ns an element.

    A CPU's probability is rounded to a multiple of 1/256.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.threshold = round(probability * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements of `x` with the probability and scale the rest so that the mean stays."""
        if not self.training or self.threshold == 0:
            return x
        if x.is_cuda:
            return nn.functional.dropout(x, self.probability)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - self.threshold))


class Attention(nn.Module):
    """Causal multi-head attention without an output projection.

    With a `reach` it adds a learnt number to the logits, by head and by distance: 0 to reach - 1.
    """

    def __init__(self, dimension: int, heads: int, dropout: float, reach: int = 0):
        super().__init__()
        self.query_proj = nn.Linear(dimension, dimension)
        self.key_proj = nn.Linear(dimension, dimension)
        self.val_proj = nn.Linear(dimension, dimension)
        self.distance_bias = nn.Parameter(torch.zeros(heads, reach)) if reach else None
        self.heads = heads
        self.dropout = Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Attend from `queries` to `context`, both [batch, time, d]."""
        query, key, value = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection, x in (
                (self.query_proj, queries),
                (self.key_proj, context),
                (self.val_proj, context),
            )
        )
        mixed = self._fused(query, key, value) if query.is_cuda else self._explicit(query, key, value)
        return mixed.transpose(1, 2).flatten(2)

    def _fused(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        probability = self.dropout.probability if self.training else 0.0
        if self.distance_bias is None:
            return nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, dropout_p=probability
            )
        added = self._biases(query.shape[2]).to(query.dtype) + future(query)
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=added[None], dropout_p=probability
        )

    def _explicit(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        if self.distance_bias is not None:
            scores = scores + self._biases(query.shape[2])
        return self.dropout(torch.softmax(scores + future(query), dim=-1)) @ value

    def _biases(self, time: int) -> Tensor:
        """[heads, time, time]: what is added for a query's row and a key's column."""
        assert self.distance_bias is not None
        steps = torch.arange(time, device=self.distance_bias.device)
        distances = (steps[:, None] - steps).clamp_(min=0).flatten()
        return self.distance_bias.index_select(1, distances).view(-1, time, time)


def future(query: Tensor) -> Tensor:
    """[time, time]: -inf where a key is newer than the query."""
    time = query.shape[2]
    return torch.full((time, time), float("-inf"), dtype=query.dtype, device=query.device).triu(1)


class Block(nn.Module):
    """One transformer block: attention from the normalised input, then a d-to-d dense pair."""

    def __init__(self, dimension: int, heads: int, dropout: float, reach: int = 0):
        super().__init__()
        self.first_norm = nn.LayerNorm(dimension)
        self.multihead_attention = Attention(dimension, heads, dropout, reach)
        self.second_norm = nn.LayerNorm(dimension)
        self.dense1 = nn.Linear(dimension, dimension)
        self.dense2 = nn.Linear(dimension, dimension)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, time, d] to the same shape."""
        queries = self.first_norm(x)
        attended = self.second_norm(self.multihead_attention(queries, x) + queries)
        hidden = self.dropout(torch.relu(self.dense1(attended)))
        return attended + self.dropout(self.dense2(hidden))


class GSASRec(nn.Module):
    """gSASRec over items 1..N, with N + 2 table rows: 0 is unused and N + 1 pads.

    `sparse` gives the two item tables sparse gradients, so that a step's cost depends on the rows it
    touches and not on the catalogue. `item_dropout` hides that share of a window's items in training:
    their embeddings become zero.
    """

    def __init__(
        self,
        items: int,
        dimension: int,
        maximum_length: int,
        heads: int,
        blocks: int,
        dropout: float = 0.0,
        initialisation: float = 0.02,
        sparse: bool = False,
        positions: str = "right",
        item_dropout: float = 0.0,
    ):
        super().__init__()
        if dimension % heads:
            raise ValueError(f"dimension {dimension} is not a multiple of {heads} heads; change one of them")
        self.items = items
        self.maximum_length = maximum_length
        self.item_embedding = nn.Embedding(items + 2, dimension, sparse=sparse)
        self.position_embedding = nn.Embedding(maximum_length, dimension) if positions == "right" else None
        self.item_dropout = item_dropout
        self.embedding_dropout = Dropout(dropout)
        reach = maximum_length if positions == "bias" else 0
        self.transformer_blocks = nn.ModuleList(
            Block(dimension, heads, dropout, reach) for _ in range(blocks)
        )
        self.seq_norm = nn.LayerNorm(dimension)
        self.output_embedding = nn.Embedding(items + 2, dimension, sparse=sparse)
        for table in (getattr(self, name) for name in TABLES):
            if table is not None:
                nn.init.normal_(table.weight, std=initialisation)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states [batch, time, d] of right-padded `items` [batch, time] with `lengths` [batch].

        States at positions past a sequence's length mean nothing.
        """
        x = self.item_embedding(items)
        if self.training and self.item_dropout:
            x = x * (torch.rand(items.shape, device=items.device) >= self.item_dropout)[:, :, None]
        if self.position_embedding is not None:
            steps = torch.arange(items.shape[1], device=items.device)
            positions = (self.maximum_length - lengths[:, None] + steps).clamp_(max=self.maximum_length - 1)
            x = x + self.position_embedding(positions)
        x = self.embedding_dropout(x)
        for block in self.transformer_blocks:
            x = block(x)
        return self.seq_norm(x)
