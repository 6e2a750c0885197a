"""The training losses, all from one target score and a set of candidate scores for each position.

Candidates are sampled negatives or the whole catalogue. Some of them are `excluded`: the target itself,
and, since recommending filters what was already seen, the items that stand before the position in the
user's history. Excluding those measured +0.008 to +0.014 nDCG@10 on ML-1M.
"""

from __future__ import annotations

from torch import Tensor, cat, int64, zeros
from torch.nn.functional import cross_entropy, logsigmoid


def beta(candidates: int, items: int, calibration: float) -> float:
    """gBCE's exponent for k sampled negatives of N items: `1 - t (1 - k / (N - 1))`."""
    sampling_rate = min(1.0, candidates / (items - 1))
    return 1.0 - calibration * (1.0 - sampling_rate)


def gbce(target: Tensor, candidates: Tensor, excluded: Tensor, items: int, calibration: float) -> Tensor:
    """Mean generalised binary cross entropy over [positions] targets and [positions, k] candidates.

    `-(beta log sigmoid(s+) + sum log sigmoid(-s-)) / (k + 1)`: the closed form of the authors' float64
    transformation of the positive score, stable in float32.
    """
    k = candidates.shape[1]
    positive = beta(k, items, calibration) * logsigmoid(target)
    negative = logsigmoid(-candidates).masked_fill(excluded, 0.0).sum(1)
    return -((positive + negative) / (k + 1)).mean()


def softmax(target: Tensor, candidates: Tensor, excluded: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of the target among itself and its candidates, with label smoothing."""
    allowed = candidates.masked_fill(excluded, float("-inf"))
    scores = cat([target[:, None], allowed], dim=1)
    first = zeros(len(target), dtype=int64, device=target.device)
    loss = cross_entropy(scores, first)
    if not smoothing:
        return loss
    present = (~excluded).sum(1) + 1
    mean_score = (candidates.masked_fill(excluded, 0.0).sum(1) + target) / present
    uniform = scores.logsumexp(1) - mean_score
    return (1.0 - smoothing) * loss + smoothing * uniform.mean()
