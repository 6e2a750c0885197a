"""What lists of ten are worth, and how sure a difference between two models is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log2
from typing import NamedTuple

import numpy as np

K = 10
RESAMPLES = 2000


@dataclass(frozen=True)
class Answers:
    """Where the item that came next stood in each contestant's ten: a place from 0, `None` if in none."""

    day: int
    user: int
    frozen: int | None
    service: int | None
    popularity: int | None


CONTESTANTS = ("frozen", "service", "popularity")


class Interval(NamedTuple):
    """A mean, and between which bounds it is with 95% certainty."""

    value: float
    low: float
    high: float


def place(wanted: str, listed: Sequence[str]) -> int | None:
    """Where in the first ten an item stands."""
    return listed.index(wanted) if wanted in listed[:K] else None


def hit(place: int | None) -> float:
    """Hit rate@10 of one list."""
    return 0.0 if place is None else 1.0


def ndcg(place: int | None) -> float:
    """nDCG@10 of one list with one item that is wanted."""
    return 0.0 if place is None else 1 / log2(place + 2)


METRICS = {"hit rate@10": hit, "nDCG@10": ndcg}


def mean(answers: Sequence[Answers], contestant: str, metric: str) -> float:
    """The mean over all answers; NaN of none."""
    gains = [METRICS[metric](getattr(answer, contestant)) for answer in answers]
    return float(np.mean(gains)) if gains else float("nan")


def difference(answers: Sequence[Answers], one: str, other: str, metric: str, seed: int = 0) -> Interval:
    """By how much `one` is above `other` in the mean over all answers.

    The bounds are of a bootstrap over users, since answers to one user belong together.
    """
    gain = METRICS[metric]
    users = sorted({answer.user for answer in answers})
    row = {user: number for number, user in enumerate(users)}
    sums, counts = np.zeros(len(users)), np.zeros(len(users))
    for answer in answers:
        sums[row[answer.user]] += gain(getattr(answer, one)) - gain(getattr(answer, other))
        counts[row[answer.user]] += 1
    drawn = np.random.default_rng(seed).multinomial(
        len(users), np.full(len(users), 1 / len(users)), RESAMPLES
    )
    low, high = np.quantile(drawn @ sums / (drawn @ counts), [0.025, 0.975])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def popular(days: Sequence[Sequence[str]], seen: set[str]) -> list[str]:
    """The ten items watched most on these days that were not seen; ties by key."""
    counts = Counter(item for day in days for item in day)
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    return [item for item in ranked if item not in seen][:K]


def as_json(answers: Sequence[Answers]) -> dict[str, object]:
    """All means and differences, for `--json`."""
    pairs = (("service", "frozen"), ("service", "popularity"))
    return {
        "targets": len(answers),
        "users": len({answer.user for answer in answers}),
        "means": {name: {metric: mean(answers, name, metric) for metric in METRICS} for name in CONTESTANTS},
        "differences": {
            f"{one} - {other}": {
                metric: difference(answers, one, other, metric)._asdict() for metric in METRICS
            }
            for one, other in pairs
        },
        "answers": [asdict(answer) for answer in answers],
    }
