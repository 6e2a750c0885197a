"""A catalogue, its people, and what they watch day after day while their taste drifts.

What a sequence model can learn: people stay within a topic for a while, and often take the item that stands
behind the last one in the topic's order, as episodes do. What goes stale: topics rise and fall with the days,
an item is watched most when it is new, and new ones come out every week. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEEK = 7  # days
OLD = 0.6  # share of the items that are there from the beginning
SWING, PERIOD = 1.5, 40  # of a topic's logarithmic popularity, and how many days a rise and a fall take
# How much more a new item is watched than an old one, and the days that halve it.
FRESHNESS, HALF_LIFE = 6.0, 6.0
# Shares of events: the next item in the topic's order, and another one of the topic.
FOLLOWS, STAYS = 0.45, 0.35
TOPICS_OF_A_USER = 4
EVENTS_A_VISIT = 4.0
DAY_S = 24 * 60 * 60


class Event(NamedTuple):
    """Who watched what, and when: numbers from 0, seconds since the day began."""

    user: int
    item: int
    second: int


@dataclass(frozen=True)
class Size:
    """How large a month is."""

    items: int = 600
    users: int = 1500
    topics: int = 20
    days: int = 44


@dataclass
class Month:
    """The state of everyone, a day after the other."""

    size: Size
    seed: int = 0
    today: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        size = self.size
        self.topic = np.arange(size.items) * size.topics // size.items
        self.released = self._releases()
        self.phase = self.rng.random(size.topics)
        self.appeal = self.rng.lognormal(0.0, 0.8, size.items)
        self.visits = self.rng.beta(2.0, 3.0, size.users)
        self.liked = np.array([self._liked() for _ in range(size.users)])
        self.seen: list[set[int]] = [set() for _ in range(size.users)]
        self.last = np.full(size.users, -1)

    def _releases(self) -> NDArray[np.int64]:
        """The day on which each item comes out: many long before, then some at each week's beginning.

        The items of a topic come out in its order, so that what is new stands behind what is known.
        """
        weeks = -(-self.size.days // WEEK)
        place = np.empty(self.size.items)
        for topic in range(self.size.topics):
            own = np.flatnonzero(self.topic == topic)
            place[own] = (np.arange(len(own)) + self.rng.random()) / len(own)
        late = np.maximum(place - OLD, 0) / (1 - OLD)
        return np.where(place < OLD, -10 * WEEK, np.minimum(late * weeks, weeks - 1).astype(np.int64) * WEEK)

    def _liked(self) -> NDArray[np.int64]:
        return self.rng.choice(self.size.topics, TOPICS_OF_A_USER, replace=False)

    def topics(self, day: int) -> NDArray[np.float64]:
        """The popularity of every topic on a day, with sum 1."""
        weight = np.exp(SWING * np.sin(2 * np.pi * (day / PERIOD + self.phase)))
        return weight / weight.sum()

    def weights(self, day: int) -> NDArray[np.float64]:
        """How much every item is watched within its topic on a day; 0 of one that is not out."""
        age = day - self.released
        fresh = 1 + FRESHNESS * np.exp2(-np.maximum(age, 0) / HALF_LIFE)
        return np.where(age >= 0, self.appeal * fresh, 0.0)

    def out_on(self, day: int) -> NDArray[np.int64]:
        """The items that come out on a day; on day 0 also those of before."""
        return np.flatnonzero(self.released <= 0 if day == 0 else self.released == day)

    def next_day(self) -> list[Event]:
        """What is watched on the next day, in the order of time."""
        day, self.today = self.today, self.today + 1
        topics, weights = self.topics(day), self.weights(day)
        events: list[Event] = []
        for user in np.flatnonzero(self.rng.random(self.size.users) < self.visits):
            count = 1 + self.rng.poisson(EVENTS_A_VISIT - 1)
            begin = int(self.rng.integers(0, DAY_S - 3600))
            for second in np.sort(self.rng.choice(3600, count, replace=False)):
                item = self._watched(int(user), topics, weights)
                if item is None:
                    break
                events.append(Event(int(user), item, begin + int(second)))
        return sorted(events, key=lambda event: (event.second, event.user))

    def _watched(self, user: int, topics: NDArray[np.float64], weights: NDArray[np.float64]) -> int | None:
        """What a user watches now; nothing where everything of a topic was seen."""
        seen, last, kind = self.seen[user], int(self.last[user]), self.rng.random()
        item = self._behind(last, seen, weights) if last >= 0 and kind < FOLLOWS else None
        if item is None:
            topic = int(self.topic[last])
            if last < 0 or kind >= FOLLOWS + STAYS:
                share = topics[self.liked[user]]
                topic = int(self.rng.choice(self.liked[user], p=share / share.sum()))
            item = self._of_topic(topic, seen, weights)
        if item is not None:
            seen.add(item)
            self.last[user] = item
        return item

    def _behind(self, last: int, seen: set[int], weights: NDArray[np.float64]) -> int | None:
        """The item behind the last one in its topic's order, if it is out and not seen."""
        behind = last + 1
        inside = behind < self.size.items and self.topic[behind] == self.topic[last]
        return behind if inside and weights[behind] > 0 and behind not in seen else None

    def _of_topic(self, topic: int, seen: set[int], weights: NDArray[np.float64]) -> int | None:
        own = np.array([item for item in np.flatnonzero(self.topic == topic) if item not in seen])
        if not own.size or weights[own].sum() == 0:
            return None
        return int(self.rng.choice(own, p=weights[own] / weights[own].sum()))


def flood(month: Month, events: int, items: int, seed: int) -> list[Event]:
    """A night's traffic of programs: users behind the month's own, who all watch the same few items.

    Each takes all of them in an order of its own, the last one what is left.
    """
    rng = np.random.default_rng(seed)
    pushed = rng.choice(np.flatnonzero(month.released < month.today), items, replace=False)
    made: list[Event] = []
    for begin in range(0, events, items):
        taken = rng.permutation(pushed)[: events - begin]
        seconds = np.sort(rng.choice(DAY_S, len(taken), replace=False))
        bot = month.size.users + begin // items
        made += [Event(bot, int(item), int(second)) for item, second in zip(taken, seconds, strict=True)]
    return sorted(made, key=lambda event: (event.second, event.user))
