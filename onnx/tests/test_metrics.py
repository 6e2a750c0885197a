import math

import numpy as np
import pytest

from marquee_onnx import metrics
from marquee_onnx.baselines import CoOccurrence, Popularity
from marquee_onnx.data import Histories


def naive_ranking(scores, seen):
    unseen = [item for item in range(1, len(scores) + 1) if item not in seen]
    return sorted(unseen, key=lambda item: (-scores[item - 1], item))


@pytest.fixture
def judged():
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 12, (40, 30)).astype(np.float32)  # many ties
    seen = [rng.choice(30, rng.integers(0, 15), replace=False).astype(np.int32) + 1 for _ in scores]
    targets = [rng.choice(np.setdiff1d(np.arange(1, 31), history)) for history in seen]
    return scores, seen, np.array(targets, dtype=np.int32)


def test_ranks_agree_with_a_plain_sort(judged):
    scores, seen, targets = judged
    expected = [naive_ranking(s, set(h)).index(t) for s, h, t in zip(scores, seen, targets, strict=True)]
    assert metrics.ranks(scores, seen, targets).tolist() == expected


def test_top_items_agree_with_a_plain_sort(judged):
    scores, seen, _ = judged
    expected = [naive_ranking(s, set(h))[:10] for s, h in zip(scores, seen, strict=True)]
    assert metrics.top_items(scores, seen, 10).tolist() == expected


def test_top_items_are_zero_where_too_few_are_left():
    scores = np.array([[3, 2, 1]], dtype=np.float32)
    assert metrics.top_items(scores, [np.array([1, 3], np.int32)], 3).tolist() == [[2, 0, 0]]


def test_the_ranking_metrics_of_known_ranks():
    figures = metrics.summary(np.array([0, 9, 10, 100]))
    assert figures["ndcg@10"] == pytest.approx((1 + 1 / math.log2(11)) / 4)
    assert (figures["recall@1"], figures["recall@10"], figures["recall@20"]) == (0.25, 0.5, 0.75)
    assert figures["mrr"] == pytest.approx((1 + 1 / 10 + 1 / 11 + 1 / 101) / 4)


def test_the_bootstrap_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(1).random(2000)
    low, high = metrics.bootstrap(values)
    error = values.std() / math.sqrt(len(values))
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_coverage_diversity_novelty_and_freshness_of_two_lists():
    lists = np.array([[1, 2], [2, 0]], dtype=np.int32)
    genres = np.array([[0, 0], [1, 1], [1, 0], [0, 0]], dtype=bool)
    vectors = np.array([[0, 0], [1, 0], [0.6, 0.8]], dtype=np.float32)
    years, counts = np.array([0, 2000, 1995, 1980]), np.array([0, 1, 0, 0])
    nan = float("nan")
    assert metrics.coverage(lists, 4) == 0.5
    assert metrics.genre_diversity(lists, genres) == pytest.approx([0.5, nan], nan_ok=True)
    assert metrics.vector_diversity(lists, vectors) == pytest.approx([0.4, nan], nan_ok=True)
    assert metrics.novelty(lists, counts) == pytest.approx([1.5, 2.0])
    assert metrics.long_tail(lists, counts).tolist() == [0.5, 1.0]
    assert metrics.freshness(lists, years, np.array([2000, 1996])).tolist() == [0.5, 1.0]


def test_a_movie_of_an_unknown_year_is_never_fresh():
    lists = np.array([[1]], dtype=np.int32)
    assert metrics.freshness(lists, np.array([0, 0]), np.array([3])).tolist() == [0.0]


def test_the_error_of_the_coverage_is_that_of_the_jackknife():
    lists = np.random.default_rng(2).integers(1, 60, (20, 3)).astype(np.int32)
    without = np.array([metrics.coverage(np.delete(lists, user, 0), 60) for user in range(20)])
    expected = math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    influences = metrics.coverage_influences(lists, 60)
    assert influences.std(ddof=1) / math.sqrt(20) == pytest.approx(expected)


def test_popularity_counts_training_events():
    model = Popularity(Histories.from_sequences([[1, 2], [2, 3], [2]]), 4)
    assert model.scores([np.array([1])]).tolist() == [[1, 3, 1, 0]]


def test_co_occurrence_scores_what_followed_by_distance_and_age():
    train = Histories.from_sequences([[1, 2, 3], [2, 3]])
    model = CoOccurrence(train, 3, window=2, decay=0.5, damping=0.0)
    # after 1: 2 at distance 1, 3 at distance 2; after 2: 3 twice; the older item 1 counts half
    assert model.scores([np.array([1, 2])])[0].tolist() == [0.0, 0.5, 2.25]
