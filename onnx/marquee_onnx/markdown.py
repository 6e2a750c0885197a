"""Figures as tables of Markdown, a value with its standard error in a cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marquee_onnx.judging import Figure, error_of_mean
from marquee_onnx.metrics import PerUser


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with these columns."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(values: PerUser) -> Figure:
    """The mean over the users of whom the values say something, those that are none of NaN."""
    return Figure(float(np.nanmean(values)), values)


def cell(figure: Figure) -> str:
    """A figure."""
    return f"{figure.value:.4f} +- {figure.error:.4f}"


def paired(values: PerUser, others: PerUser) -> str:
    """The mean difference of two figures of the same users."""
    return f"{np.nanmean(values - others):+.4f} +- {error_of_mean(values - others):.4f}"
