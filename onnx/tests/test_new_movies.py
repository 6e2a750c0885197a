import numpy as np
import pytest

from marquee_onnx.catalogue import Movie
from marquee_onnx.new_movies import FADING, Content, features, features_of, with_places

KNOWN, DIMENSION = 30, 4


@pytest.fixture(scope="module")
def known():
    """Features and rows of thirty movies; the rows follow the genres, with noise."""
    rng = np.random.default_rng(4)
    genres = [tuple(name for name in "abcd" if rng.random() < 0.5) for _ in range(KNOWN)]
    said = [features(Movie("", int(rng.integers(1990, 2005)), some)) for some in genres]
    slopes = {name: rng.normal(0, 1, DIMENSION) for name in "abcd"}
    rows = np.stack([sum((slopes[g] for g in some), np.ones(DIMENSION)) for some in genres])
    return said, rows + rng.normal(0, 0.1, rows.shape)


def test_features_are_genres_their_pairs_the_five_years_and_tags():
    said = features(Movie("", 1999, ("Drama", "Comedy", "War")), ["Slow  Burn", "slow burn"])
    assert said == {
        *("genre comedy", "genre drama", "genre war", "years from 1995", "tag slow burn"),
        *("genres comedy and drama", "genres comedy and war", "genres drama and war"),
    }
    assert features(Movie("", 0, ())) == frozenset()


def test_what_is_said_of_items_stands_in_their_order_and_of_a_stranger_nothing():
    movies = {5: Movie("A (1999)", 1999, ("War",)), 9: Movie("B", 0, ("Drama",))}
    said = features_of(np.array([9, 7, 5], np.uint32), movies, {5: {"Slow  burn"}})
    assert said == [{"genre drama"}, set(), {"genre war", "years from 1995", "tag slow burn"}]


def test_the_prediction_is_the_least_of_squares_and_penalty(known):
    said, rows = known
    content = Content.fit(said, rows, penalty=3.0)
    x = np.array([[name in some for name in content.names] for some in said], float)
    x, y = x - x.mean(0), rows - rows.mean(0)
    stacked = np.vstack([x, np.sqrt(3.0) * np.eye(x.shape[1])])
    expected, *_ = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((x.shape[1], DIMENSION))]), rcond=None)
    assert content.slopes == pytest.approx(expected)
    assert content.predict(said) == pytest.approx(rows.mean(0) + x @ expected)


def test_a_large_penalty_leaves_the_mean_row(known):
    said, rows = known
    assert Content.fit(said, rows, penalty=1e12).predict(said[:3]) == pytest.approx(
        np.tile(rows.mean(0), (3, 1))
    )


def test_genres_say_more_of_a_row_than_nothing_does(known):
    said, rows = known
    found = Content.fit(said[:24], rows[:24], penalty=1.0).predict(said[24:])
    assert ((found - rows[24:]) ** 2).sum() < 0.3 * ((rows[:24].mean(0) - rows[24:]) ** 2).sum()


def test_what_no_known_movie_had_says_nothing(known):
    said, rows = known
    content = Content.fit(said, rows)
    assert (content.predict([said[0] | {"genre unheard of"}]) == content.predict([said[0]])).all()


def test_a_feature_of_one_movie_is_left_out(known):
    said, rows = known
    once = [said[0] | {"tag once"}, *said[1:]]
    assert "tag once" not in Content.fit(once, rows).names
    assert "tag once" in Content.fit(once, rows, fewest=1).names


def test_the_covariance_is_that_of_rows_about_their_predictions(known):
    said, rows = known
    content = Content.fit(said, rows)
    rest = rows - content.predict(said)
    assert content.covariance == pytest.approx(np.cov(rest.T, bias=True))


def test_a_movie_without_events_keeps_its_content(known):
    said, rows = known
    content = Content.fit(said, rows)
    start = content.predict(said[:2])
    after = content.fold_in(start, np.zeros((2, DIMENSION)), np.array([0, 0]), np.ones(DIMENSION))
    assert (after == start).all()


def test_a_movie_taken_as_new_movies_are_on_average_keeps_its_content(known):
    said, rows = known
    content = Content.fit(said, rows)
    start, centre = content.predict(said[:1]), np.arange(DIMENSION, dtype=float)
    assert content.fold_in(start, 7 * centre[None], np.array([7]), centre) == pytest.approx(start)


def test_events_move_a_row_along_the_covariance_and_fade_the_content(known):
    said, rows = known
    content = Content.fit(said, rows)
    start, user = content.predict(said[:1]), np.array([[1.0, -2.0, 0.5, 0.0]])
    nothing = np.zeros(DIMENSION)
    one, many = (content.fold_in(start, n * user, np.array([n]), nothing) - start for n in (1, 10**9))
    assert one == pytest.approx(user @ content.covariance * FADING / (FADING + 1))
    assert many == pytest.approx(user @ content.covariance * FADING)
    assert (one @ user.T).item() > 0


def test_the_last_places_are_those_of_new_movies():
    known, new = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[9, 8, 7], [7, 9, 8]])
    assert with_places(known, new, 1).tolist() == [[1, 2, 9], [4, 5, 7]]
    assert with_places(known, new, 0).tolist() == known.tolist()
