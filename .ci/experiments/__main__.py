"""Makes the cases that the arithmetic of experiments is held to, by implementations that are not ours.

Intervals and p-values of two arms come from GrowthBook's gbstats, those of the sample ratio from savvi, the
correction of Benjamini and Hochberg from SciPy. These want a NumPy below 2, so they have an environment of
their own:

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install -r .ci/experiments/requirements.txt
    /tmp/reference/bin/python .ci/experiments --write server/experiments/tests/reference.json

`--check` compares a file with what they say now, to a billionth.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from gbstats.frequentist.tests import (
    FrequentistConfig,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import (
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
    compute_theta,
)
from savvi.multinomial import Multinomial
from scipy.stats import false_discovery_control

CASES = 200
SEED = 1
MEASURES = ("proportion", "mean", "adjusted", "ratio")
# Relative effects are said from 5 standard errors of the control's mean on.
KNOWN_FROM = 5.5

# Rows that units share, each [value, other, units].
Rows = list[list[float]]


def rows_of(measure: str, rng: np.random.Generator) -> Rows:
    """What the units of one arm do."""
    if measure == "proportion":
        return [[0, 0, int(rng.integers(200, 20_000))], [1, 0, int(rng.integers(60, 3_000))]]
    count = int(rng.integers(4, 12))
    other = rng.integers(1, 9, count) if measure == "ratio" else rng.integers(0, 9, count)
    values = np.round(other * rng.uniform(0, 3) + rng.gamma(2, 2, count), 2)
    units = rng.integers(1, 1_000, count)
    return [[float(v), float(o), int(n)] for v, o, n in zip(values, other, units, strict=True)]


def changed(rows: Rows, rng: np.random.Generator) -> Rows:
    """What units that are much like these do."""
    return [[v, o, max(1, round(n * rng.uniform(0.8, 1.25)))] for v, o, n in rows]


def mean_of(rows: Rows, column: int) -> SampleMeanStatistic:
    """The statistic of a column."""
    return SampleMeanStatistic(
        n=sum(int(row[2]) for row in rows),
        sum=sum(row[column] * row[2] for row in rows),
        sum_squares=sum(row[column] ** 2 * row[2] for row in rows),
    )


def statistic_of(measure: str, rows: Rows) -> Any:
    """The statistic of an arm."""
    value, other = mean_of(rows, 0), mean_of(rows, 1)
    products = sum(row[0] * row[1] * row[2] for row in rows)
    match measure:
        case "proportion":
            return ProportionStatistic(n=value.n, sum=int(value.sum))
        case "mean":
            return value
        case "adjusted":
            return RegressionAdjustedStatistic(value.n, value, other, products, theta=0)
        case _:
            return RatioStatistic(value.n, value, other, products)


def statistics_of(measure: str, control: Rows, arm: Rows) -> tuple[Any, Any]:
    """The statistics of both arms, adjusted alike."""
    both = statistic_of(measure, control), statistic_of(measure, arm)
    if measure == "adjusted":
        theta = compute_theta(*both)
        for one in both:
            one.theta = theta
    return both


def effect(measure: str, rng: np.random.Generator) -> dict[str, Any]:
    """A case of two arms."""
    while True:
        rows = rows_of(measure, rng)
        arms = rows, changed(rows, rng)
        control, arm = statistics_of(measure, *arms)
        if abs(control.unadjusted_mean) > KNOWN_FROM * math.sqrt(control.variance / control.n):
            break
    alpha, tightest_at = float(rng.choice([0.01, 0.05, 0.1])), float(rng.choice([500, 5_000, 50_000]))
    kind = str(rng.choice(["relative", "absolute"]))
    fixed = TwoSidedTTest(control, arm, FrequentistConfig(alpha=alpha, difference_type=kind))
    sequential = SequentialTwoSidedTTest(
        control,
        arm,
        SequentialConfig(alpha=alpha, sequential_tuning_parameter=tightest_at, difference_type=kind),
    )
    return {
        "measure": measure,
        "difference": kind,
        "alpha": alpha,
        "tightest_at": tightest_at,
        "control": arms[0],
        "arm": arms[1],
        "estimate": fixed.point_estimate,
        "always_valid": [*map(float, sequential.confidence_interval), float(sequential.p_value)],
        "fixed_horizon": [*map(float, fixed.confidence_interval), float(fixed.p_value)],
    }


def sample_ratio(rng: np.random.Generator) -> dict[str, Any]:
    """A case of counts of arms. Shares are eighths, which add up to 1 to the last bit."""
    shares = np.array([[4, 4], [1, 7], [2, 2, 4], [1, 2, 5]][int(rng.integers(4))], dtype=object)
    shares = np.array([float(share) / 8 for share in shares])
    counts = rng.multinomial(int(rng.integers(100, 50_000)), rng.dirichlet(shares * 4_000))
    concentration = float(rng.choice([100, 10_000]))
    test = Multinomial(alpha=0.01, theta_0=shares, k=concentration)
    test.update(counts)
    return {
        "shares": shares.tolist(),
        "concentration": concentration,
        "counts": counts.tolist(),
        "p_value": min(1.0, float(test.calculate_p_value())),
    }


def corrections(rng: np.random.Generator) -> dict[str, Any]:
    """A case of several p-values."""
    p_values = rng.uniform(0, 0.2, int(rng.integers(1, 12)))
    return {
        "p_values": p_values.tolist(),
        "benjamini_hochberg": false_discovery_control(p_values).tolist(),
    }


def cases() -> dict[str, Any]:
    """All cases."""
    rng = np.random.default_rng(SEED)
    return {
        "effects": [effect(MEASURES[number % len(MEASURES)], rng) for number in range(CASES)],
        "sample_ratios": [sample_ratio(rng) for _ in range(CASES)],
        "corrections": [corrections(rng) for _ in range(20)],
    }


def same(one: Any, other: Any) -> bool:
    """Whether all numbers are the same to a billionth."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def main() -> None:
    """Writes the cases, or compares them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE")
    what.add_argument("--check", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    made = json.loads(json.dumps(cases()))
    if arguments.write:
        arguments.write.write_text(json.dumps(made, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    elif not same(json.loads(arguments.check.read_text()), made):
        parser.exit(
            1, f"{arguments.check} is not what the references say; write it anew and see what changed\n"
        )


main()
