import numpy as np
import pytest

from marquee_onnx.onboarding import choose, most_popular, popular_by_genre

MOVIES, K = 40, 8


@pytest.fixture(scope="module")
def drawn():
    """Events and unit vectors of forty movies; row 0 is nobody's."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(0, 1, (MOVIES + 1, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.r_[0, rng.integers(0, 300, MOVIES)], vectors.astype(np.float32)


def naive_choice(events, vectors, k, similarity):
    """The same choice, one movie at a time."""
    chosen = []
    for _ in range(k):
        value = {
            item: (1 - similarity) * events[item] / events.max()
            - similarity * max([float(vectors[item] @ vectors[other]) for other in chosen] + [0.0])
            for item in most_popular(events, len(events)).tolist()
            if item not in chosen
        }
        chosen.append(max(value, key=value.get))
    return chosen


@pytest.mark.parametrize("similarity", [0.25, 0.5, 1.0])
def test_the_choice_is_that_of_a_plain_loop(drawn, similarity):
    events, vectors = drawn
    assert choose(events, vectors, K, similarity).tolist() == naive_choice(events, vectors, K, similarity)


def test_without_regard_to_likeness_the_most_popular_are_asked(drawn):
    events, vectors = drawn
    assert choose(events, vectors, K, 0.0).tolist() == most_popular(events, K).tolist()


def test_of_two_movies_that_are_alike_one_is_asked():
    vectors = np.array([[0, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert choose(np.array([0, 100, 99, 30]), vectors, 2).tolist() == [1, 3]


def test_a_movie_unlike_the_others_gains_nothing_by_it():
    vectors = np.array([[0, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    assert choose(np.array([0, 100, 50, 49]), vectors, 2).tolist() == [1, 2]


def test_only_the_most_popular_candidates_are_chosen_from(drawn):
    events, vectors = drawn
    chosen = choose(events, vectors, K, 1.0, candidates=K)
    assert sorted(chosen.tolist()) == sorted(most_popular(events, K).tolist())


def test_equal_movies_are_asked_by_ascending_item():
    assert choose(np.zeros(5, np.int64), np.zeros((5, 2), np.float32), 3).tolist() == [1, 2, 3]


def test_a_catalogue_smaller_than_the_list_is_asked_whole(drawn):
    events, vectors = drawn
    assert sorted(choose(events[:4], vectors[:4], K).tolist()) == [1, 2, 3]


def test_genres_take_turns_and_no_movie_is_asked_twice():
    genres = np.array([[0, 0], [1, 1], [1, 0], [1, 0], [0, 1]], bool)
    assert popular_by_genre(np.array([0, 9, 8, 7, 1]), genres, 4).tolist() == [1, 4, 2, 3]
    assert popular_by_genre(np.array([0, 9, 8, 7, 1]), genres, 9).tolist() == [1, 4, 2, 3]
