"""What a list of movies is chosen for beside the model's score; `rerank.py` has the arithmetic."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from typing import Any

from marquee_onnx.arguments import fraction, number, whole

LARGEST_BETA = 8.0
LARGEST_GAMMA = 2.0
FEWEST_CANDIDATES, CANDIDATES_A_MOVIE, MOST_CANDIDATES = 100, 5, 2000


def strength(share: float, largest: float) -> float:
    """The factor that a knob of 0..1 means: `largest * share ** 2`.

    What a knob costs in accuracy grows faster than its factor, so the square spreads the useful range: 0.5 is
    a quarter of the largest factor, beta 2 for diversity and gamma 0.5 for calibration.
    """
    return largest * share * share


@dataclass(frozen=True)
class Objectives:
    """The objectives of a list; those left alone are off."""

    diversity: float = 0.0
    calibration: float = 0.0
    popularity_weight: float = 0.0
    freshness_weight: float = 0.0
    freshness_half_life: float = 10.0
    rating_weight: float = 0.0
    candidates_limit: int | None = None
    max_per_genre: int | None = None

    @property
    def beta(self) -> float:
        """What likeness to a chosen movie of 1 takes off a movie's value."""
        return strength(self.diversity, LARGEST_BETA)

    @property
    def gamma(self) -> float:
        """What a nat of divergence from the history's genres takes off the list's value."""
        return strength(self.calibration, LARGEST_GAMMA)

    @property
    def on(self) -> bool:
        """Whether the list is another than the model's own."""
        weights = (self.popularity_weight, self.freshness_weight, self.rating_weight)
        return any((self.diversity, self.calibration, *weights)) or self.max_per_genre is not None

    def candidates(self, k: int) -> int:
        """How many of the best movies a list of k is chosen from."""
        if self.candidates_limit is not None:
            return max(self.candidates_limit, k)
        return min(max(FEWEST_CANDIDATES, CANDIDATES_A_MOVIE * k), MOST_CANDIDATES)

    def said(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as a preset states them."""
        defaults = asdict(Objectives())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    @classmethod
    def of(cls, args: argparse.Namespace) -> Objectives:
        """What the command line says."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})


def add_objective_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each objective."""
    group = parser.add_argument_group("objectives", "a list chosen for them is compared with the plain one")
    group.add_argument(
        "--diversity", type=fraction, default=0.0, help="how little alike the movies are, 0 to 1"
    )
    group.add_argument(
        "--calibration",
        type=fraction,
        default=0.0,
        help="how closely the genres follow the history's, 0 to 1",
    )
    group.add_argument(
        "--popularity-weight",
        type=number(-1, 1),
        default=0.0,
        help="of the logarithm of a movie's events; below 0 for lesser known ones",
    )
    group.add_argument("--freshness-weight", type=number(0, 2), default=0.0, help="of how new a movie is")
    group.add_argument(
        "--freshness-half-life", type=number(0.1, 200), default=10.0, help="years in which freshness halves"
    )
    group.add_argument(
        "--rating-weight",
        type=number(0, 2),
        default=0.0,
        help="of a movie's mean rating, damped where it has few",
    )
    group.add_argument(
        "--candidates-limit",
        type=whole(1, MOST_CANDIDATES),
        help="choose from so many of the best; max(100, 5 k) by default",
    )
    group.add_argument("--max-per-genre", type=whole(1, 500), help="movies of any genre at most")
