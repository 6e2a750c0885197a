# ruff: noqa: D103
"""Figures say what they are meant to, and intervals are paired by user."""

from __future__ import annotations

import pytest
from figures import Answers, difference, hit, mean, ndcg, place, popular


def answers(*places: tuple[int, int | None, int | None]) -> list[Answers]:
    return [Answers(day=0, user=user, frozen=one, service=two, popularity=None) for user, one, two in places]


def test_an_item_behind_the_tenth_place_is_not_found():
    listed = [f"item-{number}" for number in range(12)]
    assert place("item-9", listed) == 9
    assert place("item-10", listed) is None
    assert place("other", listed) is None


def test_gains_fall_with_the_place():
    assert (hit(0), hit(9), hit(None)) == (1.0, 1.0, 0.0)
    assert (ndcg(0), ndcg(2), ndcg(None)) == (1.0, 0.5, 0.0)


def test_a_mean_is_over_all_answers():
    assert mean(answers((1, 0, None), (1, None, 0), (2, 0, 0)), "frozen", "hit rate@10") == pytest.approx(
        2 / 3
    )


def test_a_difference_that_all_users_share_is_certain():
    found = difference(answers(*((user, None, 2) for user in range(50))), "service", "frozen", "nDCG@10")
    assert found == (0.5, 0.5, 0.5)


def test_a_difference_of_few_users_is_uncertain():
    found = difference(
        answers(*((user, None, 0 if user else None) for user in range(4))), "service", "frozen", "nDCG@10"
    )
    assert found.low < found.value < found.high


def test_days_of_one_user_count_as_one_user():
    once = answers(*((user, None, user % 2 or None) for user in range(40)))
    interval = difference(once, "service", "frozen", "hit rate@10")
    assert difference(once * 5, "service", "frozen", "hit rate@10") == pytest.approx(interval)


def test_what_is_popular_leaves_out_what_was_seen():
    assert popular([["a", "b", "b"], ["c", "c", "c"]], {"c"}) == ["b", "a"]
