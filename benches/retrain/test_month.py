# ruff: noqa: D103
"""The month has a structure that can be learnt, drifts, and follows from its seed."""

from __future__ import annotations

import numpy as np
from month import FOLLOWS, WEEK, Event, Month, Size, flood

SMALL = Size(items=200, users=150, topics=10, days=28)


def days(seed: int = 1, size: Size = SMALL) -> tuple[Month, list[list[Event]]]:
    month = Month(size, seed)
    return month, [month.next_day() for _ in range(size.days)]


def test_a_seed_gives_the_same_month_and_another_one_another():
    assert days(1)[1] == days(1)[1]
    assert days(1)[1] != days(2)[1]


def test_nobody_watches_an_item_twice():
    pairs = [(event.user, event.item) for day in days()[1] for event in day]
    assert len(set(pairs)) == len(pairs)


def test_events_of_a_day_are_in_the_order_of_time():
    for day in days()[1]:
        assert [event.second for event in day] == sorted(event.second for event in day)


def test_nothing_is_watched_before_it_is_out():
    month, seen = days()
    assert all(month.released[event.item] <= number for number, day in enumerate(seen) for event in day)


def test_new_items_come_out_every_week_and_are_watched():
    month, seen = days()
    assert all(len(month.out_on(day)) for day in range(WEEK, SMALL.days, WEEK))
    last = [month.released[event.item] > 0 for event in seen[-1]]
    assert 0.1 < np.mean(last) < 0.9


def test_every_item_comes_out_once():
    month = Month(SMALL, 1)
    out = np.concatenate([month.out_on(day) for day in range(SMALL.days)])
    assert sorted(out) == list(range(SMALL.items))


def test_what_is_watched_next_can_be_learnt():
    _, seen = days()
    last: dict[int, int] = {}
    follows = []
    for event in (event for day in seen for event in day):
        follows.append(event.item == last.get(event.user, -9) + 1)
        last[event.user] = event.item
    assert np.mean(follows) > FOLLOWS / 2


def test_taste_drifts():
    month, seen = days()

    def shares(of: list[list[Event]]) -> np.ndarray:
        items = [event.item for day in of for event in day]
        return np.bincount(month.topic[items], minlength=SMALL.topics) / len(items)

    near = np.abs(shares(seen[0:3]) - shares(seen[3:6])).sum()
    far = np.abs(shares(seen[0:3]) - shares(seen[20:23])).sum()
    assert far > 2 * near


def test_a_flood_is_of_new_users_who_watch_the_same_few_items():
    month, _ = days()
    made = flood(month, events=203, items=8, seed=3)
    assert len(made) == 203
    assert {event.user for event in made} == set(range(SMALL.users, SMALL.users + 26))
    assert len({event.item for event in made}) == 8
    assert made == flood(month, events=203, items=8, seed=3)
