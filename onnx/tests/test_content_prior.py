"""Rows of rare movies lean on the catalogue; those of known ones stay nearly what they are."""

from __future__ import annotations

import numpy as np
import pytest

from marquee_onnx import content_prior
from marquee_onnx.errors import DataError

KINDS = ("genre comedy", "genre western")
ITEMS = 240


def catalogue_of_two_kinds() -> tuple[np.ndarray, list[frozenset[str]]]:
    """Rows that say a movie's kind in their first number, and what is said of the movies."""
    said = [frozenset({KINDS[item % 2]}) for item in range(ITEMS)]
    rows = np.random.default_rng(0).normal(0, 0.1, (ITEMS, 3)).astype(np.float32)
    rows[:, 0] += np.array([1.0 if item % 2 else -1.0 for item in range(ITEMS)])
    return rows, said


def test_a_movie_without_events_becomes_what_is_said_of_it_and_a_known_one_hardly_moves():
    rows, said = catalogue_of_two_kinds()
    events = np.full(ITEMS, 3000)
    rows[:2], events[:2] = 7.0, 0
    leaning = content_prior.lean(rows, events, said, prior=30)
    assert leaning[0, 0] == pytest.approx(-1, abs=0.3)
    assert leaning[1, 0] == pytest.approx(1, abs=0.3)
    np.testing.assert_allclose(leaning[2:], rows[2:], atol=0.01)


def test_a_prior_counts_as_so_many_events():
    rows, said = catalogue_of_two_kinds()
    events = np.full(ITEMS, 3000)
    events[0] = 30
    alone = content_prior.lean(rows, np.where(np.arange(ITEMS) == 0, 0, events), said, prior=30)
    leaning = content_prior.lean(rows, events, said, prior=30)
    np.testing.assert_allclose(leaning[0], (rows[0] + alone[0]) / 2, atol=0.01)


def test_too_few_known_movies_are_refused_with_advice():
    rows, said = catalogue_of_two_kinds()
    with pytest.raises(DataError, match="train with --content-prior 0"):
        content_prior.lean(rows, np.full(ITEMS, 19), said, prior=30)


def test_words_of_a_title_are_those_that_say_something():
    assert content_prior.words_of("The Lord of the Rings (a.k.a. Ring, 2001)") == {"word lord", "word rings"}
