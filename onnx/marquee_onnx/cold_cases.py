"""Small cases of what is done before anything is known, as JSON: what another implementation is held to.

A list of movies to ask about is kept only where noise a hundred times that of single precision in the vectors
leaves it as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import blending, onboarding
from marquee_onnx.catalogue import Movie
from marquee_onnx.new_movies import FADING, FEWEST, PENALTY, Content, features
from marquee_onnx.rerank import Items
from marquee_onnx.rerank_cases import NOISE, TRIALS
from marquee_onnx.text import to_json

SEED, DIMENSION = 24, 4
GENRES = ("Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi")
TAGS = ("Slow burn", "heist", "SLOW  BURN", "robots")
KINDS = (  # name, movies, k, similarity, candidates
    ("six of twenty", 20, 6, 0.5, None),
    ("likeness alone", 20, 6, 1.0, None),
    ("popularity alone", 12, 4, 0.0, None),
    ("among the best eight", 20, 6, 0.7, 8),
    ("fewer movies than places", 4, 6, 0.5, None),
)


def onboarding_case(
    rng: np.random.Generator, name: str, movies: int, k: int, similarity: float, candidates: int | None
) -> dict[str, Any]:
    """The first random catalogue whose list does not hang on the last digits."""
    while True:
        events = np.concatenate([[0], rng.integers(0, 400, movies)])
        vectors = rng.normal(0, 1, (movies + 1, DIMENSION)).round(3)
        chosen = onboarding.choose(events, unit(vectors), k, similarity, candidates).tolist()
        moved = (vectors + rng.normal(0, NOISE, vectors.shape) for _ in range(TRIALS))
        if all(
            onboarding.choose(events, unit(other), k, similarity, candidates).tolist() == chosen
            for other in moved
        ):
            break
    return {
        "name": name,
        "k": k,
        "similarity": similarity,
        "candidates": candidates,
        "movies": [
            {"id": item, "events": int(events[item]), "vector": vectors[item].tolist()}
            for item in range(1, movies + 1)
        ],
        "chosen": chosen,
    }


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    """The vectors brought to length 1, as `Items` has them."""
    nothing = np.zeros(len(vectors), np.int64)
    genres = np.zeros((len(vectors), 1), np.bool_)
    return Items.of(vectors.astype(np.float32), genres, nothing, nothing, nothing.astype(float)).vectors


def blending_case(rng: np.random.Generator) -> dict[str, Any]:
    """The weights, and a catalogue of six movies blended after 0, 1 and 6 events."""
    events = rng.integers(0, 400, 6)
    genres = rng.random((6, 3)) < 0.4
    told = np.array([True, False, True])
    prior = blending.prior(np.r_[0, events], np.vstack([np.zeros(3, np.bool_), genres]), told)
    scores = rng.normal(0, 2, 6).round(3)
    return {
        "strength": blending.STRENGTH,
        "weights_after_0_1_5_6_20_21": [rounded(blending.weight(np.array(n))) for n in (0, 1, 5, 6, 20, 21)],
        "told": np.flatnonzero(told).tolist(),
        "movies": [
            {"events": int(events[i]), "genres": np.flatnonzero(genres[i]).tolist(), "score": scores[i]}
            for i in range(6)
        ],
        "prior": rounded(prior),
        "after_1_event": rounded(blending.blend(scores[None], prior, blending.weight(np.array([1])))[0]),
        "after_6_events": rounded(blending.blend(scores[None], prior, blending.weight(np.array([6])))[0]),
    }


def new_movies_case(rng: np.random.Generator) -> dict[str, Any]:
    """Twelve known movies, and three new ones after 0, 1 and 4 events."""
    movies = [drawn(rng) for _ in range(15)]
    said = [features(Movie("", year, genres), tags) for year, genres, tags in movies]
    rows = rng.normal(0, 1, (12, DIMENSION)).round(3)
    content = Content.fit(said[:12], rows)
    start = content.predict(said[12:])
    vectors = [rng.normal(1, 2, (count, DIMENSION)).round(3) for count in (0, 1, 4)]
    count = np.array([len(some) for some in vectors])
    sums = np.stack([some.sum(0) for some in vectors])
    centre = sums.sum(0) / count.sum()
    after = content.fold_in(start, sums, count, centre)
    return {
        "penalty": PENALTY,
        "fading": FADING,
        "fewest": FEWEST,
        "known": [
            {**described(movie), "features": sorted(names), "row": row.tolist()}
            for movie, names, row in zip(movies, said, rows, strict=False)
        ],
        "columns": list(content.names),
        "mean_row": rounded(content.mean_row),
        "covariance": rounded(content.covariance),
        "new": [
            {**described(movie), "features": sorted(names), "content": rounded(row), "users": some.tolist()}
            for movie, names, row, some in zip(movies[12:], said[12:], start, vectors, strict=True)
        ],
        "centre": rounded(centre),
        "rows": rounded(after),
    }


def drawn(rng: np.random.Generator) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """A year, 0 for unknown, genres and tags."""
    year = 0 if rng.random() < 0.15 else int(rng.integers(1991, 2003))
    genres = tuple(name for name in GENRES if rng.random() < 0.4)
    return year, genres, tuple(tag for tag in TAGS if rng.random() < 0.3)


def described(movie: tuple[int, tuple[str, ...], tuple[str, ...]]) -> dict[str, Any]:
    """A movie as it stands in the file."""
    year, genres, tags = movie
    return {"year": year, "genres": list(genres), "tags": list(tags)}


def rounded(values: NDArray[np.float64]) -> Any:
    """Values with six places behind the point."""
    return np.round(values, 6).tolist()


def text(seed: int = SEED) -> str:
    """The file: a case a line."""
    rng = np.random.default_rng(seed)
    onboarding_lines = ",\n".join(to_json(onboarding_case(rng, *kind)) for kind in KINDS)
    blended = to_json(blending_case(rng))
    new = new_movies_case(rng)
    parts = ",\n".join(f'"{name}": {to_json(value)}' for name, value in new.items())
    return (
        f'{{"seed": {seed}, "onboarding": [\n{onboarding_lines}\n],\n"blending": {blended},\n'
        f'"new_movies": {{\n{parts}\n}}}}\n'
    )


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    args.file.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
