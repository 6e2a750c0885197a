"""Small lists with what the reference chooses from them, as JSON: what another implementation is held to.

A case is kept only where noise a hundred times that of single precision in the scores leaves the choice as
it is, so that an implementation in single precision has to choose the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marquee_onnx.objectives import Objectives
from marquee_onnx.rerank import OF_THE_SET, OWN, Candidates, Floats, Items, Lists, choose, own_parts
from marquee_onnx.text import to_json

SEED, YEAR = 24, 2020
GENRES, DIMENSION = 6, 4
NOISE, TRIALS = 1e-4, 20

KINDS: Sequence[tuple[str, int, int, Objectives]] = (  # name, candidates, k, objectives
    ("nothing asked", 12, 5, Objectives()),
    ("diversity", 20, 6, Objectives(diversity=0.5)),
    ("the most diversity", 20, 6, Objectives(diversity=1.0)),
    ("calibration", 20, 6, Objectives(calibration=0.5)),
    ("the most calibration", 20, 10, Objectives(calibration=1.0)),
    ("lesser known movies", 15, 5, Objectives(popularity_weight=-0.3)),
    ("popular movies", 15, 5, Objectives(popularity_weight=0.4)),
    ("new movies", 15, 5, Objectives(freshness_weight=1.0)),
    ("very new movies", 15, 5, Objectives(freshness_weight=2.0, freshness_half_life=3.0)),
    ("well rated movies", 15, 5, Objectives(rating_weight=1.0)),
    ("two movies a genre", 20, 8, Objectives(max_per_genre=2)),
    ("one movie a genre, a shorter list", 12, 10, Objectives(max_per_genre=1)),
    ("fewer candidates than places", 4, 6, Objectives(diversity=0.5, calibration=0.5)),
    (
        "everything",
        30,
        10,
        Objectives(0.4, 0.6, -0.2, 0.5, 8.0, 0.3, max_per_genre=5),
    ),
)


def cases(seed: int = SEED) -> dict[str, Any]:
    """All cases, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return {"seed": seed, "cases": [case(rng, *kind) for kind in KINDS]}


@dataclass(frozen=True)
class Drawn:
    """One user's candidates, what is known of them, and the genres of the user's history [1, G].

    `vectors` are those of the items before they are brought to length 1.
    """

    vectors: NDArray[np.float32]
    items: Items
    candidates: Candidates
    wanted: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, count: int) -> Drawn:
        """Random ones; of some movies the year or the genres are unknown."""
        rows = count + 1
        vectors = rng.normal(0, 1, (rows, DIMENSION)).round(3).astype(np.float32)
        genres = rng.random((rows, GENRES)) < 0.3
        events, stars = rng.integers(0, 5000, rows), rng.uniform(2, 4.5, rows).round(3)
        years = np.where(rng.random(rows) < 0.1, 0, rng.integers(1950, YEAR + 2, rows))
        scores = np.sort(rng.gumbel(0, 0.4, count).round(3))[::-1].astype(np.float32)
        wanted = rng.dirichlet(np.full(GENRES, 0.7)).round(3)
        return cls(
            vectors,
            Items.of(vectors, genres, events, years, stars),
            Candidates(np.arange(1, rows, dtype=np.int32)[None], scores[None]),
            (wanted / wanted.sum())[None],
        )

    def moved(self, rng: np.random.Generator) -> Drawn:
        """The same with noise in the scores."""
        noise = rng.normal(0, NOISE, self.candidates.scores.shape)
        scores = (self.candidates.scores + noise).astype(np.float32)
        return replace(self, candidates=Candidates(self.candidates.items, scores))

    def answer(self, objectives: Objectives, k: int) -> Lists:
        """What the reference chooses."""
        own = own_parts(self.candidates, self.items, objectives, np.array([YEAR]))
        return choose(self.candidates, own, self.wanted, self.items, objectives, k)


def case(rng: np.random.Generator, name: str, count: int, k: int, objectives: Objectives) -> dict[str, Any]:
    """The first random case of this kind that tells something and does not hang on the last digits."""
    while True:
        drawn = Drawn.of(rng, count)
        lists = drawn.answer(objectives, k)
        tells = not objectives.on or count <= k or (lists.items != drawn.answer(Objectives(), k).items).any()
        if tells and is_steady(rng, drawn, lists, objectives, k):
            return written(name, k, objectives, drawn, lists)


def is_steady(rng: np.random.Generator, drawn: Drawn, lists: Lists, objectives: Objectives, k: int) -> bool:
    """Whether noise in the scores leaves the list as it is."""
    others = (drawn.moved(rng).answer(objectives, k).items for _ in range(TRIALS))
    return all((items == lists.items).all() for items in others)


def written(name: str, k: int, objectives: Objectives, drawn: Drawn, lists: Lists) -> dict[str, Any]:
    """A case as it stands in the file."""
    items, candidates = drawn.items, drawn.candidates
    chosen = lists.items[0][lists.items[0] > 0]
    return {
        "name": name,
        "k": k,
        "objectives": objectives.said(),
        "beta": objectives.beta,
        "gamma": objectives.gamma,
        "year": YEAR,
        "wanted": drawn.wanted[0].tolist(),
        "candidates": [
            {
                "id": int(item),
                "score": decimal(candidates.scores[0, place]),
                "vector": [decimal(value) for value in drawn.vectors[item]],
                "genres": np.flatnonzero(items.genres[item]).tolist(),
                "events": int(items.popularity[item]),
                "year": int(items.years[item]),
                "rating": float(items.ratings[item]),
            }
            for place, item in enumerate(candidates.items[0])
        ],
        "chosen": chosen.tolist(),
        "parts": [
            {part: round(float(lists.parts[part][0, place]), 6) for part in (*OWN, *OF_THE_SET)}
            for place in range(len(chosen))
        ],
    }


def decimal(value: np.float32) -> float:
    """A value of single precision as the short decimal that it came from."""
    return float(str(value))


def text(seed: int = SEED) -> str:
    """The file: a case a line."""
    content = cases(seed)
    lines = ",\n".join(to_json(case) for case in content["cases"])
    return f'{{"seed": {content["seed"]}, "cases": [\n{lines}\n]}}\n'


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    args.file.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
