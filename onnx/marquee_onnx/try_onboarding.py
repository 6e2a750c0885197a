"""A simulation of onboarding: each user is asked about the movies of a list and has rated some of them.

Those, in the order shown, become the history. The lists are judged by nDCG@10 on the user's other movies,
all worth the same, without the movies that any list asks about, so that no list is helped by what it asks.
Whoever has rated none of a list's movies gets the most popular ones. Each list is judged by the model alone
and blended with popularity.
"""

from __future__ import annotations

import argparse

import numpy as np

from marquee_onnx import blending, metrics, onboarding
from marquee_onnx.arguments import fraction
from marquee_onnx.cold_users import (
    LIST_LENGTH,
    Cold,
    add_year_argument,
    gain,
    heading,
    open_cold,
)
from marquee_onnx.data import Ids
from marquee_onnx.markdown import cell, mean, paired, table
from marquee_onnx.rerank import Floats

ASKED = (10, 20)
NOTHING = "nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this simulation."""
    add_year_argument(parser)
    parser.add_argument(
        "--similarity", type=fraction, default=onboarding.SIMILARITY, help="what likeness weighs, 0 to 1"
    )


def report(args: argparse.Namespace) -> str:
    """A line a list: nDCG@10, paired differences, and how many of the movies users had rated."""
    cold = open_cold(args)
    lists = lists_to_ask(cold, args.similarity)
    every = np.unique(np.concatenate(list(lists.values())))
    nothing = judge(cold, every, lists[NOTHING], blended=False)
    rows = []
    for blended in (False, True):
        gains = {name: judge(cold, every, asked, blended) for name, asked in lists.items()}
        for name, asked in lists.items():
            if blended and not len(asked):
                continue
            answered = np.array([len(answers) for answers in answers_of(cold, asked)])
            rival = f"{len(asked)} most popular" if len(asked) else NOTHING
            rows.append(
                [
                    f"{name}, blended" if blended else name,
                    cell(mean(gains[name])),
                    "" if name == NOTHING else paired(gains[name], nothing),
                    "" if name in (NOTHING, rival) else paired(gains[name], gains[rival]),
                    f"{answered.mean():.1f}",
                    f"{100 * (answered == 0).mean():.0f}",
                ]
            )
    heads = ["asked", "nDCG@10", "- nothing", "- most popular", "answered", "none answered, %"]
    return f"{heading(len(cold.users), cold.who, args.seed)}\n\n{table(heads, rows)}"


def lists_to_ask(cold: Cold, similarity: float) -> dict[str, Ids]:
    """The lists by name; the last is the one that is proposed."""
    items = cold.items
    lists = {NOTHING: np.zeros(0, dtype=np.int32)}
    for k in ASKED:
        lists[f"{k} most popular"] = onboarding.most_popular(items.popularity, k)
        lists[f"{k} popular by genre"] = onboarding.popular_by_genre(items.popularity, items.genres, k)
        lists[f"{k} popular, MMR {similarity:g}"] = onboarding.choose(
            items.popularity, items.vectors, k, similarity
        )
    return lists


def answers_of(cold: Cold, asked: Ids) -> list[Ids]:
    """Each user's history after a list: the movies of it that the user has rated, in the order shown."""
    return [asked[np.isin(asked, history)] for history in cold.users]


def judge(cold: Cold, every: Ids, asked: Ids, blended: bool) -> Floats:
    """Each user's nDCG@10 after a list, NaN of whom nothing is left to judge beside `every` movie asked.

    Answers are no sequence, so blended they weigh as a few events, however many they are.
    """
    answers = answers_of(cold, asked)
    few = blending.weight(np.array(blending.FEW)) if blended else 0.0
    weights = np.array([few if len(history) else 1.0 for history in answers])
    values = blending.blend(cold.scores(answers), np.log1p(cold.items.popularity[1:]), weights)
    hidden = np.union1d(every, cold.closed)
    answered = metrics.top_items(values.astype(np.float32), [hidden] * len(answers), LIST_LENGTH)
    return gain(answered, [np.setdiff1d(history, every) for history in cold.users])
