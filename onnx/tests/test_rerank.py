import math
from pathlib import Path

import numpy as np
import pytest

from marquee_onnx import rerank_cases
from marquee_onnx.objectives import Objectives, strength
from marquee_onnx.rerank import (
    OWN,
    Candidates,
    Items,
    choose,
    divergence,
    history_shares,
    likeness,
    own_parts,
)

FIXTURE = Path(__file__).parent.parent / "fixtures" / "rerank.json"
USERS, CATALOGUE, GENRES, K = 7, 60, 5, 6
EVERYTHING = Objectives(0.6, 0.5, -0.2, 0.7, 5.0, 0.4, max_per_genre=4)


@pytest.fixture(scope="module")
def drawn():
    """Items, candidates of several users (fewer for the first) and their histories."""
    rng = np.random.default_rng(3)
    items = Items.of(
        rng.normal(0, 1, (CATALOGUE + 1, 8)).astype(np.float32),
        rng.random((CATALOGUE + 1, GENRES)) < 0.3,
        rng.integers(0, 900, CATALOGUE + 1),
        np.where(rng.random(CATALOGUE + 1) < 0.2, 0, rng.integers(1950, 2003, CATALOGUE + 1)),
        rng.uniform(1, 5, CATALOGUE + 1),
    )
    best = np.stack([rng.permutation(CATALOGUE)[:25] + 1 for _ in range(USERS)]).astype(np.int32)
    best[0, 4:] = 0
    scores = -np.sort(rng.normal(0, 1, best.shape), axis=1).astype(np.float32)
    histories = [rng.permutation(CATALOGUE)[:n] + 1 for n in range(1, USERS + 1)]
    return items, Candidates(best, scores), histories


def naive_choice(items, candidates, own, wanted, objectives, k, user):
    """The same choice, one movie and one genre at a time."""

    def like(a, b):
        shared, union = (items.genres[a] & items.genres[b]).sum(), (items.genres[a] | items.genres[b]).sum()
        return (float(items.vectors[a] @ items.vectors[b]) + (shared / union if union else 1.0)) / 2

    def unlike(chosen):
        with_genres = [items.genres[i] / items.genres[i].sum() for i in chosen if items.genres[i].any()]
        shares = np.mean(with_genres, axis=0) if with_genres else np.zeros(GENRES)
        return sum(p * math.log(p / (0.99 * q + 0.01 * p)) for p, q in zip(wanted, shares, strict=True) if p)

    value = {
        int(item): sum(own[name][user, place] for name in OWN)
        for place, item in enumerate(candidates.items[user])
        if item
    }
    chosen = []
    for _ in range(k):
        gains = {}
        for item in value:
            full = objectives.max_per_genre is not None and any(
                sum(bool(items.genres[c][g]) for c in chosen) >= objectives.max_per_genre
                for g in np.flatnonzero(items.genres[item])
            )
            if item not in chosen and not full:
                near = max([like(item, other) for other in chosen], default=0.0)
                gains[item] = (
                    value[item]
                    - objectives.beta * max(near, 0)
                    - objectives.gamma * (len(chosen) + 1) * unlike([*chosen, item])
                )
        if gains:
            chosen.append(max(gains, key=gains.get))
    return sorted(chosen, key=lambda item: -value[item])


@pytest.mark.parametrize(
    "objectives",
    [
        Objectives(),
        Objectives(diversity=0.7),
        Objectives(calibration=0.7),
        Objectives(max_per_genre=2),
        EVERYTHING,
    ],
)
def test_the_choice_is_that_of_a_plain_loop(drawn, objectives):
    items, candidates, histories = drawn
    own = own_parts(candidates, items, objectives, np.full(USERS, 2000))
    wanted = history_shares(histories, items)
    lists = choose(candidates, own, wanted, items, objectives, K)
    for user in range(USERS):
        expected = naive_choice(items, candidates, own, wanted[user], objectives, K, user)
        assert lists.items[user].tolist() == expected + [0] * (K - len(expected))


def test_without_objectives_the_list_is_the_best_of_the_model(drawn):
    items, candidates, histories = drawn
    own = own_parts(candidates, items, Objectives(), np.full(USERS, 2000))
    lists = choose(candidates, own, history_shares(histories, items), items, Objectives(), K)
    assert (lists.items == candidates.items[:, :K]).all()


def test_parts_are_in_the_order_of_the_list_and_sum_to_its_values(drawn):
    items, candidates, histories = drawn
    own = own_parts(candidates, items, EVERYTHING, np.full(USERS, 2000))
    lists = choose(candidates, own, history_shares(histories, items), items, EVERYTHING, K)
    value = sum(lists.parts[name] for name in OWN)
    there = lists.items > 0
    assert all((np.diff(row[present]) <= 0).all() for row, present in zip(value, there, strict=True))
    assert (lists.parts["diversity"] <= 0).all()
    assert all((part[~there] == 0).all() for part in lists.parts.values())


def test_the_costs_of_calibration_sum_to_that_of_the_whole_list(drawn):
    items, candidates, histories = drawn
    objectives = Objectives(calibration=0.8)
    own = own_parts(candidates, items, objectives, np.full(USERS, 2000))
    wanted = history_shares(histories, items)
    lists = choose(candidates, own, wanted, items, objectives, K)
    for user in range(1, USERS):
        total = items.genre_shares(lists.items[user]).sum(0)
        expected = -objectives.gamma * K * divergence(wanted[user], total)
        assert lists.parts["calibration"][user].sum() == pytest.approx(expected)


def test_probabilities_of_the_candidates_sum_to_one(drawn):
    _, candidates, _ = drawn
    assert np.exp(candidates.log_probabilities()).sum(1) == pytest.approx(np.ones(USERS))


def test_a_user_without_candidates_gets_an_empty_list(drawn):
    items, _, _ = drawn
    nobody = Candidates(np.zeros((1, 5), np.int32), np.zeros((1, 5), np.float32))
    own = own_parts(nobody, items, EVERYTHING, np.array([2000]))
    lists = choose(nobody, own, np.zeros((1, GENRES)), items, EVERYTHING, K)
    assert not lists.items.any()


def test_unknown_years_are_never_fresh_and_movies_to_come_are_as_fresh_as_can_be():
    items = Items.of(
        np.eye(4, dtype=np.float32),
        np.zeros((4, 1), bool),
        np.zeros(4, int),
        np.array([0, 0, 1990, 2005]),
        np.zeros(4),
    )
    candidates = Candidates(np.array([[1, 2, 3]], np.int32), np.zeros((1, 3), np.float32))
    objectives = Objectives(freshness_weight=2.0, freshness_half_life=5.0)
    fresh = own_parts(candidates, items, objectives, np.array([2000]))["freshness"]
    assert fresh.tolist() == [[0.0, 0.5, 2.0]]


def test_likeness_is_the_mean_of_cosine_and_jaccard():
    items = Items.of(
        np.array([[0, 0], [3, 4], [4, 3], [1, 0]], np.float32),
        np.array([[0, 0], [1, 1], [1, 0], [0, 0]], bool),
        np.zeros(4, int),
        np.zeros(4, int),
        np.zeros(4),
    )
    found = likeness(items, np.array([1]), np.array([[2, 3]]))
    assert found[0] == pytest.approx([(0.96 + 0.5) / 2, 0.6 / 2])
    assert likeness(items, np.array([3]), np.array([[3]]))[0] == pytest.approx([1.0])


def test_divergence_is_zero_of_the_same_genres_and_of_a_user_who_wants_nothing():
    wanted = np.array([[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]])
    found = divergence(wanted, np.array([[2.0, 2.0], [1.0, 0.0], [0.0, 3.0]]))
    assert found == pytest.approx([0.0, 0.0, math.log(100)])


def test_a_knob_at_half_is_a_quarter_of_the_largest_factor():
    assert (strength(0.5, 8.0), Objectives(diversity=1).beta) == (2.0, 8.0)
    assert (Objectives(calibration=0.5).gamma, Objectives(calibration=1).gamma) == (0.5, 2.0)


def test_candidates_are_five_times_the_list_and_a_hundred_at_least():
    found = [Objectives().candidates(k) for k in (10, 50, 500)]
    assert found == [100, 250, 2000]
    assert Objectives(candidates_limit=30).candidates(10) == 30
    assert Objectives(candidates_limit=3).candidates(10) == 10


def test_the_cases_of_the_fixture_are_those_of_the_reference():
    assert FIXTURE.read_text() == rerank_cases.text()
