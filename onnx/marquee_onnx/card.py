"""Write a model card: data and terms, settings, figures, limits, and recommendations to judge by eye.

`python -m marquee_onnx.card RUN --items FOLDER --output MODEL_CARD.md`; a person adds nothing by hand, so
the card can be written again whenever the model is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from marquee_onnx import catalogue, metrics
from marquee_onnx.data import numbers_in
from marquee_onnx.recommenders import NumpyModel, read_vocabulary, read_weights

HISTORIES = {  # MovieLens ids, oldest first
    "Animation for children": (364, 588, 1, 2355, 4306, 4886),
    "Science fiction": (1270, 1214, 541, 589, 1210, 2571),
    "Crime": (858, 1221, 1089, 296, 16, 1213),
    "Romantic comedies": (539, 597, 1307, 2424, 2671),
    "Blockbusters of 2008 to 2014": (58559, 59315, 79132, 89745, 91529, 109487),
}
LIMITS = """\
- Of ML-1M's 3,416 movies 320 are not in this vocabulary, and its ratings end in February 2003: what the
  model knows of later movies comes from 671 users alone. 3,063 movies have a single rating and 59 none;
  their recommendations are chance.
- The order of MovieLens' events is that of rating, often a page of a list at a time, not of watching.
- Movies seen before are left out of the training's denominator: seen movies must be filtered out of the
  answers, and the model is wrong where repeats are wanted.
- The figures are those of 671 users: differences of less than 0.01 nDCG mean little.
"""


def card(run: Path, movies_path: Path, comparison: Path | None) -> str:
    """The card of a run folder as Markdown."""
    config = json.loads((run / "config.json").read_text())
    training = config["training"]
    parts = [
        f"# {training['data']}: gSASRec",
        f"{config['items']:,} movies, dimension {config['dimension']}, window {config['maximum_length']}, "
        f"{config['heads']} head, {config['blocks']} blocks.",
        "## Data and terms",
        f"{training['data']}: {training['users']:,} histories, {training['interactions']:,} interactions. "
        "Only weights and movie ids are here, no ratings.",
        f"Terms: {training['terms']}. Harper and Konstan, The MovieLens Datasets: History and Context, ACM "
        "TiiS 5(4), 2015.",
        "## Settings",
        ", ".join(f"{name} {value}" for name, value in training["settings"].items()) + ".",
        "## Figures",
        "Leave one out on ml-latest-small: the newest movie of each of its 671 users among all movies, seen "
        "ones removed. These are the very weights judged; the held-back events were not trained on, and "
        "histories of ML-1M that belong to one of the 671 users were left out.",
        figures(config["metrics"], comparison),
        "## Limits",
        LIMITS.rstrip(),
        "## Samples",
        samples(run, movies_path),
    ]
    return "\n\n".join(parts) + "\n"


def figures(own: dict[str, Any], comparison: Path | None) -> str:
    """A table of this model's figures and, where given, those of `evaluate --json` reports."""
    rows = {"this model": own}
    for path in sorted(comparison.glob("*.json")) if comparison else []:
        rows[path.stem.replace("_", " ")] = json.loads(path.read_text())
    names = ("ndcg@10", "recall@1", "recall@10", "recall@20", "mrr")
    head = "| model | " + " | ".join(names) + " |\n|---|" + "---|" * len(names)
    lines = (
        f"| {name} | " + " | ".join(f"{row[metric]:.4f}" for metric in names) + " |"
        for name, row in rows.items()
    )
    return "\n".join([head, *lines])


def samples(run: Path, movies_path: Path) -> str:
    """The ten best movies after each of `HISTORIES`, by title."""
    movies = catalogue.read_movies(movies_path)
    vocabulary = read_vocabulary(run)
    if vocabulary is None:
        raise FileNotFoundError(f"{run} has no vocabulary.u32")
    model = NumpyModel(read_weights(run))
    parts = []
    for name, ids in HISTORIES.items():
        history = numbers_in(vocabulary, np.array(ids, dtype=np.uint32))[1:]
        best = metrics.top_items(model.scores([history]), [history], 10)[0]
        seen = "; ".join(movies[id].title for id in ids)
        ranked = "\n".join(
            f"{place}. {movies[int(vocabulary[item - 1])].title} "
            f"({', '.join(movies[int(vocabulary[item - 1])].genres)})"
            for place, item in enumerate(best, start=1)
        )
        parts.append(f"### {name}\n\nHistory, oldest first: {seen}.\n\n{ranked}")
    return "\n\n".join(parts)


def main() -> int:
    """Parse the command line and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--items", type=Path, required=True, help="a MovieLens folder, for the titles")
    parser.add_argument("--compare", type=Path, help="a folder of reports of `evaluate --json`")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.write_text(card(args.run, args.items, args.compare), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
