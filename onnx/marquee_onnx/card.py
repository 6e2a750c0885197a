"""Write a model card: what the model is, data and terms, settings, figures, limits, samples to judge by eye.

A person adds nothing by hand, so the card can be written again whenever the model is. What only the makers of
a model know of its limits stands in a file of its own, a Markdown list that `--limits` names.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import bundle, catalogue, metrics, precisions, runs
from marquee_onnx.data import numbers_in
from marquee_onnx.errors import DataError
from marquee_onnx.recommenders import Recommender, open_recommender
from marquee_onnx.terms import MOVIELENS
from marquee_onnx.text import open_text, read_object
from marquee_onnx.weights import Shape

HISTORIES = {  # MovieLens ids, oldest first
    "Animation for children": (364, 588, 1, 2355, 4306, 4886),
    "Science fiction": (1270, 1214, 541, 589, 1210, 2571),
    "Crime": (858, 1221, 1089, 296, 16, 1213),
    "Romantic comedies": (539, 597, 1307, 2424, 2671),
    "Blockbusters of 2008 to 2014": (58559, 59315, 79132, 89745, 91529, 109487),
}
NETWORK = (
    "The network is that of gSASRec: Petrov and Macdonald, gSASRec: Reducing Overconfidence in Sequential "
    "Recommendation Trained with Negative Sampling, RecSys 2023."
)
BY_DISTANCE = (
    " One thing is another: it has no learnt positions. Its attention adds to its logits a learnt bias by "
    "how far an item lies before the one that attends."
)
CONTENT = (
    " After the training the rows of rare movies were moved towards what genres, tags, year and title words "
    "predict, which counts as {prior:g} events: a movie of few events is recommended for what it is, not for "
    "who took it."
)
WARM = " The training began with the weights of {name}, not anew."
WHY_SOFTMAX = (
    "The loss is not gSASRec's, which is gBCE, a binary cross entropy calibrated for sampled negatives. "
    "Why: on ML-1M, all other settings alike, 24 epochs with the masked softmax reached nDCG@10 0.195 on "
    "held-back items and with gBCE 0.096; leaving seen items out of the denominator gained 0.008 to 0.014. "
    "gBCE learns more slowly and was not run longer."
)
CITATION = "Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015."
JUDGED = {
    "leave-one-out": "Leave one out: the newest movie",
    "global-time": "Split in time: a movie after the training's time, drawn for each user",
}
MASK_LIMIT = """\
- Movies seen before are left out of the training's denominator: seen movies must be filtered out of the
  answers, and the model is wrong where repeats are wanted."""
MASKS = {
    "past": "the items that the user had seen before",
    "all": "all items of the user's history",
    "none": "",
}
PRECISIONS = {
    "int8": "int8, dense layers in 8 bits",
    "bf16": "bf16, factors of all products in bfloat16",
}
PRECISION_HEAD = """\
What the encoder on the CPU loses in fewer bits, on the same users. The error is the standard error of the
difference, paired by user: a loss below two of them is not told from chance. The overlap is the share of
fp32's ten best movies that are found too.

| arithmetic | ndcg@10 | of fp32 | error | overlap | kept |
|---|---|---|---|---|---|"""
FIGURES = ("ndcg@10", "recall@1", "recall@10", "recall@20", "mrr")
TRAINING = {
    **dict.fromkeys(("data", "terms", "split", "warm_start"), (str,)),
    **dict.fromkeys(("users", "interactions", "judged_users"), (int,)),
    "settings": (dict,),
}
SETTINGS = {"loss": (str,), "negatives": (int,), "negatives_for": (str,), "exclude": (str,)}
OTHER_SETTINGS = {"content_prior": (int, float)}
MEASURED = dict.fromkeys(FIGURES, (int, float, NoneType))
JUDGED_PRECISION = {
    **dict.fromkeys(precisions.FIGURES, (int, float, NoneType)),
    "users": (int,),
    "kept": (bool,),
}


@dataclass(frozen=True)
class Described:
    """A model, and what its run folder or its bundle says of it."""

    shape: Shape
    training: Mapping[str, Any]
    figures: Mapping[str, Any]
    vocabulary: NDArray[np.uint32]
    recommender: Recommender

    @property
    def settings(self) -> Mapping[str, Any]:
        """The training's settings; none of an imported checkpoint."""
        return dict(self.training.get("settings", {}))

    @property
    def masked(self) -> bool:
        """Whether the loss leaves seen items out."""
        return self.settings.get("exclude", "none") != "none"


def read(folder: Path) -> Described:
    """The model of a bundle, or of the run folder that one is made of."""
    recommender = open_recommender(str(folder), None, 0, "fp32")
    if (folder / bundle.MANIFEST).exists():
        manifest = bundle.read_manifest(folder)
        shape = bundle.shape_of(manifest)
        vocabulary = bundle.read_vocabulary(folder)
        check_described(manifest["training"], manifest["metrics"], folder / bundle.MANIFEST)
        return Described(shape, manifest["training"], manifest["metrics"], vocabulary, recommender)
    run = runs.read(folder)
    check_described(run.training, run.metrics, folder / runs.CONFIG)
    return Described(run.weights.shape, run.training, run.metrics, run.vocabulary, recommender)


def check_described(training: Mapping[str, Any], figures: Mapping[str, Any], file: Path) -> None:
    """Whether a file says of a model what a card can repeat."""
    check_types(training, TRAINING, file)
    check_types(figures, {**MEASURED, **dict.fromkeys(PRECISIONS, (dict,))}, file)
    for precision in PRECISIONS:
        check_types(figures.get(precision, {}), JUDGED_PRECISION, file)
    settings = training.get("settings", {})
    check_types(settings, {**SETTINGS, **OTHER_SETTINGS}, file)
    incomplete = "loss" in settings and not set(SETTINGS) <= set(settings)
    if incomplete or settings.get("exclude", "none") not in MASKS:
        raise DataError(f"{file} says a loss without {', '.join(SETTINGS)} as train writes them; train again")
    if "users" in training and "interactions" not in training:
        raise DataError(f"{file} says users without interactions; train again")


def check_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]], file: Path) -> None:
    """Whether every value of these names is of one of its types."""
    wrong = next((name for name in types if name in values and type(values[name]) not in types[name]), None)
    if wrong is not None:
        raise DataError(
            f"{file} holds {wrong} {values[wrong]!r:.60}, which is of another kind; write it again"
        )


def read_reports(folder: Path | None) -> dict[str, Mapping[str, Any]]:
    """The reports of `evaluate --json` in a folder, by what their files are called."""
    reports: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.glob("*.json")) if folder else ():
        reports[path.stem.replace("_", " ")] = report = read_object(path)
        check_types(report, MEASURED, path)
    return reports


def card(
    model: Described,
    movies: Mapping[int, catalogue.Movie],
    others: Mapping[str, Mapping[str, Any]],
    limits: str,
) -> str:
    """The card as Markdown; `others` are figures of other models by name, `limits` is a list."""
    training = model.training
    sizes = "{items:,} movies, dimension {dimension}, window {maximum_length}, heads {heads}, blocks {blocks}"
    settings = ", ".join(f"{name} {value}" for name, value in model.settings.items())
    of_movielens = MOVIELENS in training["terms"]
    sections = {
        f"# {title(model)}": sizes.format(**asdict(model.shape)) + ".",
        "## Network and loss": f"{network(model)} {loss(model)}",
        "## Data and terms": data_and_terms(training, CITATION if of_movielens else ""),
        "## Settings": f"{settings}." if settings else "",
        "## Figures": f"{protocol(model)}\n\n{table({'this model': model.figures, **others})}",
        "## Precision": precision_table(model.figures),
        "## Limits": "\n".join(part for part in (limits.rstrip(), MASK_LIMIT * model.masked) if part),
        "## Samples": samples(model, movies) if of_movielens else "",
    }
    return "\n".join(f"{heading}\n\n{text.rstrip()}\n" for heading, text in sections.items() if text)


def title(model: Described) -> str:
    """The data, and what the model is: gSASRec only where its loss is gSASRec's too."""
    objectives = {
        "gbce": "gSASRec",
        "softmax": f"gSASRec's network, trained with a {'masked ' * model.masked}softmax",
    }
    return (
        f"{model.training['data']}: {objectives.get(model.settings.get('loss', ''), 'a network of gSASRec')}"
    )


def loss(model: Described) -> str:
    """What the network was trained with, and why."""
    settings = model.settings
    if "loss" not in settings:
        return "What it was trained with is not stated."
    count = settings["negatives"]
    shared = "drawn for each position" if settings["negatives_for"] == "position" else "shared by a batch"
    candidates = f"{count} uniform negatives {shared}" if count else "the whole catalogue"
    left_out = f", without {MASKS[settings['exclude']]}" if model.masked else ""
    if settings["loss"] == "gbce":
        return f"So is its loss: gBCE over {candidates}{left_out}."
    return f"It was trained with a softmax cross entropy over {candidates}{left_out}. {WHY_SOFTMAX}"


def network(model: Described) -> str:
    """What the network is, and what became of its rows."""
    by_distance = BY_DISTANCE if model.shape.positions == "bias" else ""
    prior = model.settings.get("content_prior", 0)
    earlier = model.training.get("warm_start")
    warm = WARM.format(name=earlier) if earlier else ""
    return NETWORK + by_distance + (CONTENT.format(prior=prior) if prior else "") + warm


def data_and_terms(training: Mapping[str, Any], citation: str) -> str:
    """What the model was trained on, and under whose terms that is."""
    amount = (
        f": {training['users']:,} histories, {training['interactions']:,} interactions"
        if "users" in training
        else ""
    )
    return (
        f"{training['data']}{amount}. Only weights and movie ids are here, no ratings.\n\n"
        f"Terms: {training['terms']}. {citation}"
    )


def protocol(model: Described) -> str:
    """How the figures came about."""
    if "ndcg@10" not in model.figures:
        return "Nobody was judged."
    by_precision = (model.figures.get(precision, {}).get("users") for precision in PRECISIONS)
    users = model.training.get("judged_users") or next(filter(None, by_precision), None)
    of = f"of each of {users:,} users" if users else "of each judged user"
    first = JUDGED.get(model.training.get("split", ""), "The next movie")
    return (
        f"{first} {of} among all movies, seen ones removed. These are the very weights judged; the held-back "
        "events were not trained on."
    )


def cell(value: float | None) -> str:
    """A figure in a table."""
    return "" if value is None else f"{value:.4f}"


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of each model, those that it has."""

    judged = {name: row for name, row in rows.items() if "ndcg@10" in row}
    head = [f"| model | {' | '.join(FIGURES)} |", "|---" * (len(FIGURES) + 1) + "|"]
    lines = [f"| {name} | {' | '.join(cell(row.get(f)) for f in FIGURES)} |" for name, row in judged.items()]
    return "\n".join([*head, *lines]) if lines else ""


def precision_table(figures: Mapping[str, Any]) -> str:
    """What the CPU encoder loses in fewer bits, of the precisions that were judged."""
    judged = {name: figures[name] for name in PRECISIONS if name in figures}
    if not judged:
        return ""
    rows = [
        f"| {PRECISIONS[name]} | {' | '.join(cell(row.get(figure)) for figure in precisions.FIGURES)} "
        f"| {'yes' if row.get('kept') else 'no'} |"
        for name, row in judged.items()
    ]
    return "\n".join([PRECISION_HEAD, *rows])


def samples(model: Described, movies: Mapping[int, catalogue.Movie]) -> str:
    """The ten best movies after each of `HISTORIES` that the model knows, by title."""
    parts = []
    for name, ids in HISTORIES.items():
        history = numbers_in(model.vocabulary, np.array(ids, dtype=np.uint32))[1:]
        if not history.all() or not all(id in movies for id in ids):
            continue
        best = metrics.top_items(model.recommender.scores([history]), [history], 10)[0]
        found = [movies.get(int(model.vocabulary[item - 1])) for item in best if item]
        ranked = "\n".join(
            f"{place}. {movie.title} ({', '.join(movie.genres)})"
            for place, movie in enumerate(found, start=1)
            if movie
        )
        seen = "; ".join(movies[id].title for id in ids)
        parts.append(f"### {name}\n\nHistory, oldest first: {seen}.\n\n{ranked}")
    return "\n\n".join(parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `card`."""
    parser.add_argument("model", type=Path, help="a run folder or a bundle")
    parser.add_argument("--items", type=Path, required=True, help="a MovieLens folder, for the titles")
    parser.add_argument("--compare", type=Path, help="a folder of reports of `evaluate --json`")
    parser.add_argument("--limits", type=Path, help="a Markdown list of what the model cannot do")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Write the card."""
    others = read_reports(args.compare)
    limits = ""
    if args.limits:
        with open_text(args.limits) as lines:
            limits = lines.read()
    movies = catalogue.read_movies(args.items)
    args.output.write_text(card(read(args.model), movies, others, limits), encoding="utf-8")
    print(f"wrote {args.output}")
    return 0
