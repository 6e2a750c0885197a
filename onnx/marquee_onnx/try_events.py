"""The curve over a user's first events: nDCG@10 for every way to make the list.

Only users with all thirty events are judged, so that every n has the same ones. The first n events are

- `next`: those that the user had first, and the ten that follow are wanted. MovieLens shows a new user pages
  of popular movies, and after some events the model knows the page;
- `later`: the same, and all after the thirtieth are wanted;
- `any`: drawn from the whole history, and all of it but twenty drawn ones is wanted.

The proposed blend is compared with popularity and with the model alone, paired by user.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marquee_onnx import blending, metrics
from marquee_onnx.arguments import count
from marquee_onnx.cold_users import (
    LIST_LENGTH,
    Cold,
    add_year_argument,
    gain,
    heading,
    open_cold,
)
from marquee_onnx.data import Histories, Ids
from marquee_onnx.errors import DataError
from marquee_onnx.markdown import cell, mean, paired, table
from marquee_onnx.rerank import Floats

EVENTS = (0, 1, 2, 3, 5, 10, 20)
LONGEST = EVENTS[-1] + LIST_LENGTH
ALONE = 1e9
POPULARITY, MODEL, PROPOSED = "popularity", "the model", "8 to 5, 1/2 to 20"
FEWER = 100


@dataclass(frozen=True)
class Curve:
    """Users with thirty events: up to twenty of each in the order given, those wanted after n of them, the
    genres that they told [users, G], and what is never answered.
    """

    users: list[Ids]
    wanted: Callable[[int], list[Ids]]
    told: NDArray[np.bool_]
    hidden: list[Ids]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this curve."""
    add_year_argument(parser)
    parser.add_argument("--wanted", choices=("next", "later", "any"), default="next", help="what is judged")
    parser.add_argument("--told", type=count, default=3, help="how many genres a user tells")


def report(args: argparse.Namespace) -> str:
    """A line a way to make the list, a column a number of events."""
    cold = open_cold(args)
    users = cold.users.select(np.flatnonzero(cold.users.lengths > LONGEST))
    if not len(users):
        raise DataError(f"no user has more than {LONGEST} events")
    curve = curve_of(cold, users, args)
    columns = [gains(cold, curve, events) for events in EVENTS]
    rows = [
        [name, *("" if name not in column else cell(mean(column[name])) for column in columns)]
        for name in columns[-1]
    ]
    for rival in (POPULARITY, MODEL):
        cells = (paired(column[PROPOSED], column[rival]) if rival in column else "" for column in columns)
        rows.append([f"{PROPOSED} - {rival}", *cells])
    who = f"{cold.who} with more than {LONGEST} events, wanted: {args.wanted}"
    return f"{heading(len(users), who, args.seed)}\n\n{table(['after n events', *map(str, EVENTS)], rows)}"


def curve_of(cold: Cold, users: Histories, args: argparse.Namespace) -> Curve:
    """What the users are shown by and judged on; they tell genres by events that are not judged."""
    most, everything = EVENTS[-1], list(users)
    if args.wanted == "any":
        rng = np.random.default_rng(args.seed)
        drawn = [rng.permutation(len(history))[:most] for history in everything]
        first = [history[places] for history, places in zip(everything, drawn, strict=True)]
        others = [np.delete(history, places) for history, places in zip(everything, drawn, strict=True)]
        return Curve(first, lambda _: others, told_genres(first, cold, args.told), first)
    first = [history[:most] for history in everything]
    nothing = [history[:0] for history in everything]
    if args.wanted == "later":
        later = [history[LONGEST:] for history in everything]
        telling = [history[most:LONGEST] for history in everything]
        return Curve(first, lambda _: later, told_genres(telling, cold, args.told), nothing)
    telling = [history[LONGEST:] for history in everything]
    return Curve(
        first,
        lambda events: [history[events : events + LIST_LENGTH] for history in everything],
        told_genres(telling, cold, args.told),
        nothing,
    )


def gains(cold: Cold, curve: Curve, events: int) -> dict[str, Floats]:
    """Each user's nDCG@10 after so many events, by the name of what was answered."""
    histories = [history[:events] for history in curve.users]
    hidden = [
        np.union1d(np.concatenate([history, closed]), cold.closed)
        for history, closed in zip(histories, curve.hidden, strict=True)
    ]
    scores = cold.scores(histories)
    wanted, items = curve.wanted(events), cold.items
    popular = np.log1p(items.popularity[1:])[None]

    def judge(prior: Floats, weight: float, among: NDArray[np.bool_] | None = None) -> Floats:
        values = blending.blend(scores, prior, np.full(len(scores), weight))
        values = values if among is None else np.where(among, values, -np.inf)
        return gain(metrics.top_items(values.astype(np.float32), hidden, LIST_LENGTH), wanted)

    proposed = float(blending.weight(np.array(events)))
    found = {POPULARITY: judge(popular, ALONE)}
    if events:
        found[MODEL] = judge(popular, 0.0)
    found["2 / (2 + n) to 5"] = judge(popular, 2 / (2 + events) * (events <= blending.FEW))
    found["4 to 5, 1/2 to 20"] = judge(popular, float(blending.weight(np.array(events), few=4.0)))
    found[PROPOSED] = judge(popular, proposed)
    if events:
        among = rows_of(metrics.top_items(scores, hidden, FEWER), scores.shape)
        found[f"{PROPOSED}, of the best {FEWER}"] = judge(popular, proposed, among)
    prior = blending.prior(items.popularity, items.genres, curve.told)
    found[f"{PROPOSED}, with told genres"] = judge(prior, proposed)
    found["popularity within told genres"] = judge(popular * (curve.told @ items.genres[1:].T > 0), ALONE)
    return found


def rows_of(items: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where these items [users, k] stand in [users, N]; item 0 nowhere."""
    there = np.zeros((shape[0], shape[1] + 1), dtype=np.bool_)
    np.put_along_axis(there, items.astype(np.int64), True, 1)
    return there[:, 1:]


def told_genres(telling: list[Ids], cold: Cold, most: int) -> NDArray[np.bool_]:
    """The genres [users, G] that stand out in these events of each user; of none, none.

    Those with the largest ratio of the user's share to the share of all events.
    """
    genres = cold.items.genres
    everywhere = np.maximum(cold.items.popularity @ genres, 1)
    told = np.zeros((len(telling), genres.shape[1]), dtype=np.bool_)
    for user, history in enumerate(telling):
        counts = genres[history].sum(0)
        best = np.argsort(-counts / everywhere, kind="stable")[:most]
        told[user, best[counts[best] > 0]] = True
    return told
