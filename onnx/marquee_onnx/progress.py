"""What a person sees of a training: a line an epoch, and the curves at its end.

nDCG@10 means nothing by itself, so what recommending the popular items reaches stands beside it everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marquee_onnx.data import Dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def opening_line(dataset: Dataset, judged: int, epoch: int, epochs: int) -> str:
    """What is about to be trained, on what."""
    train = dataset.split.train
    begun = f"; going on after epoch {epoch} of {epochs}" if epoch else ""
    return (
        f"{len(train):,} histories, {len(train.items):,} interactions, {len(dataset.vocabulary):,} movies, "
        f"{judged:,} users judged{begun}"
    )


class TimeLeft:
    """How long the epochs that are left will take, by the mean of those of this call."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.seconds: list[float] = []

    def after(self, epoch: int, seconds: float) -> str:
        """What to say after an epoch that took so many seconds, its validation included."""
        self.seconds.append(seconds)
        return duration((self.epochs - epoch) * sum(self.seconds) / len(self.seconds))


def duration(seconds: float) -> str:
    """A time for a person: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def epoch_line(record: Mapping[str, Any], epochs: int, left: str, baseline: float | None) -> str:
    """An epoch of the log, with how long those that follow will take, and its validation where it has one."""
    line = f"epoch {record['epoch']} of {epochs}: loss {record['loss']:.4f}, {record['seconds']:.1f} s"
    if record["epoch"] < epochs:
        line += f", {left} left"
    return f"{line}; {verdict(record, baseline)}" if "ndcg@10" in record else line


def verdict(figures: Mapping[str, Any], baseline: float | None) -> str:
    """Validation's nDCG@10 beside popularity's."""
    if "ndcg@10" not in figures:
        return "nobody was judged"
    beside = "" if baseline is None else f" (popularity {baseline:.4f})"
    return f"validation nDCG@10 {figures['ndcg@10']:.4f}{beside}"


def draw_curves(path: Path, log: Sequence[Mapping[str, float]], baseline: float | None) -> None:
    """Draw the log as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    curves(log, baseline).savefig(path, dpi=110)


def curves(log: Sequence[Mapping[str, float]], baseline: float | None) -> Figure:
    """Loss and validation over the epochs; each is a point of its own, for there may be only one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([record["epoch"] for record in log], [record["loss"] for record in log], marker=".")
    left.set(xlabel="epoch", ylabel="training loss")
    judged = [record for record in log if "ndcg@10" in record]
    for name in ("ndcg@10", "recall@10"):
        values = [record[name] for record in judged]
        right.plot([record["epoch"] for record in judged], values, marker="o", label=name)
    if baseline is not None:
        right.axhline(baseline, linestyle="--", color="grey", label="ndcg@10 of popularity")
    right.set(xlabel="epoch", ylabel="validation")
    right.legend()
    return figure
