import numpy as np
import pytest

from marquee_onnx.blending import blend, prior, weight

POPULARITY = np.array([0, 400, 30, 0])
GENRES = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)


def test_the_weight_is_that_of_a_few_events_of_some_and_of_none():
    assert weight(np.array([0, 1, 5, 6, 20, 21])).tolist() == [8, 8, 8, 0.5, 0.5, 0]
    assert weight(np.array([5, 6]), few=4.0, some=0.0).tolist() == [4, 0]


def test_without_weight_the_blend_is_the_models_log_probabilities():
    scores = np.array([[1.0, 2.0, 0.5]])
    values = blend(scores, prior(POPULARITY, GENRES, np.zeros(3, bool)), np.zeros(1))
    assert np.exp(values).sum() == pytest.approx(1)
    assert np.diff(values) == pytest.approx(np.diff(scores))


def test_equal_scores_leave_the_prior():
    popular = prior(POPULARITY, GENRES, np.zeros(3, bool))
    values = blend(np.zeros((1, 3), np.float32), popular, np.ones(1))
    assert values[0] == pytest.approx(popular - np.log(3))


def test_every_user_has_a_weight_of_their_own():
    scores = np.array([[3.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    values = blend(scores, np.array([0.0, 5.0, 0.0]), np.array([0.0, 1.0]))
    assert values.argmax(1).tolist() == [0, 1]


def test_told_genres_count_by_their_share_of_the_movie():
    told = np.array([True, False, True])
    gained = prior(POPULARITY, GENRES, told, strength=4.0) - np.log1p(POPULARITY[1:])
    assert gained == pytest.approx([2.0, 4.0, 0.0])


def test_a_movie_of_other_genres_comes_in_when_it_is_popular_enough():
    values = prior(POPULARITY, GENRES, np.array([False, False, True]), strength=2.0)
    assert values.argmax() == 0
    assert values[1] > values[2]
