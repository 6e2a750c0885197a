import re
from pathlib import Path

import numpy as np
import pytest

from marquee_onnx import bundle, cold_cases, leave_out, try_events, try_new_movies
from marquee_onnx.__main__ import main
from marquee_onnx.cold_users import gain
from marquee_onnx.data import Histories
from marquee_onnx.hold_back import write_sequences
from marquee_onnx.try_new_movies import Movies, Places

FIXTURE = Path(__file__).parent.parent / "fixtures" / "cold_start.json"
GENRES = ("Action", "Comedy", "Drama", "War")


@pytest.fixture
def split(tiny, tmp_path):
    """A prepared split of the tiny bundle's movies, some users with more than thirty events."""
    return write_split(tmp_path / "split", bundle.read_ids(tiny / "vocabulary.u32"), seed=0)


@pytest.fixture
def others(tiny, tmp_path):
    """Other users of the same movies."""
    return write_split(tmp_path / "others", bundle.read_ids(tiny / "vocabulary.u32"), seed=1)


def write_split(folder, vocabulary, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir()
    popular = rng.dirichlet(np.full(len(vocabulary), 0.5)) / 2 + 0.5 / len(vocabulary)
    sequences = [
        rng.choice(len(vocabulary), rng.integers(3, 60), replace=False, p=popular / 2 + 0.5 / len(vocabulary))
        + 1
        for _ in range(60)
    ]
    write_sequences(folder / "train.txt.gz", Histories.from_sequences(sequences))
    rows = (
        f"{item}\t{id}\tMovie {id}\t{1980 + item % 20}\t{GENRES[item % 4]}|{GENRES[item // 4 % 4]}"
        for item, id in enumerate(vocabulary, 1)
    )
    (folder / "items.tsv").write_text("\n".join(["item\tmovieId\ttitle\tyear\tgenres", *rows]) + "\n")
    return folder


def rows_of(printed):
    lines = [re.split(r" *\| *", line.strip("| ")) for line in printed.splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in lines[2:]}


def test_the_cases_of_the_fixture_are_those_of_the_reference():
    assert FIXTURE.read_text() == cold_cases.text()


def test_the_gain_of_several_wanted_movies_is_one_when_they_come_first():
    lists = np.array([[1, 2, *range(11, 19)], [11, 1, *range(12, 20)], [1, *range(2, 11)]])
    wanted = [np.array([2, 1]), np.array([1]), np.array([], int)]
    assert gain(lists, wanted) == pytest.approx([1.0, 1 / np.log2(3), np.nan], nan_ok=True)


def test_a_list_full_of_wanted_movies_has_a_gain_of_one():
    assert gain(np.arange(1, 11)[None], [np.arange(1, 31)]) == pytest.approx([1.0])


def test_onboarding_asks_nobody_about_nothing(tiny, split, capsys):
    assert main(["cold-start", "onboarding", str(tiny), "--data", str(split)]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows["nothing"][-2:] == ["0.0", "100"]
    assert {"10 most popular", "20 most popular", "20 popular, MMR 0.5"} <= set(rows)
    assert float(rows["20 most popular"][-2]) > float(rows["10 most popular"][-2]) > 0


def test_users_left_out_of_the_training_are_the_ones_asked(tiny, split, tmp_path, capsys):
    leave_out.write(split, tmp_path / "out", users=0.25, movies=0.0, seed=0)
    assert main(["cold-start", "onboarding", str(tiny), "--data", str(tmp_path / "out")]) == 0
    assert "15 users left out of the training" in capsys.readouterr().out


def test_before_any_event_the_blend_is_popularity(tiny, split, capsys):
    assert main(["cold-start", "events", str(tiny), "--data", str(split)]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows[try_events.PROPOSED][0] == rows[try_events.POPULARITY][0]
    assert rows[f"{try_events.PROPOSED} - {try_events.POPULARITY}"][0] == "+0.0000 +- 0.0000"
    assert rows["2 / (2 + n) to 5"][-1] == rows[try_events.MODEL][-1]


@pytest.mark.parametrize("wanted", ["later", "any"])
def test_the_curve_can_be_judged_on_other_events(tiny, split, capsys, wanted):
    assert main(["cold-start", "events", str(tiny), "--data", str(split), "--wanted", wanted]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert len(rows[try_events.PROPOSED]) == len(try_events.EVENTS)


def test_new_movies_have_lines_for_content_and_events(tiny, split, others, capsys):
    words = ["cold-start", "new-movies", str(tiny), "--data", str(split), "--users", str(others)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "40 of 200 movies new" in printed
    assert {"none", "content", "after 1 event", "after 3 events"} <= set(rows_of(printed))
    assert rows_of(printed)["none"][1].startswith("0.0000")


def test_the_judged_users_are_not_those_whose_events_are_folded_in(tiny, split, capsys):
    assert main(["cold-start", "new-movies", str(tiny), "--data", str(split)]) == 2
    assert "give --users" in capsys.readouterr().err


def test_without_tags_they_cannot_be_asked_for(tiny, split, others, capsys):
    words = ["cold-start", "new-movies", str(tiny), "--data", str(split), "--users", str(others), "--tags"]
    assert main(words) == 1
    assert "no tags.csv" in capsys.readouterr().err


class Ones:
    """A model of three movies to whom all users are alike."""

    vectors = np.array([[3.0], [2.0], [1.0]], np.float32)

    def users(self, histories):
        return np.ones((len(histories), 1), np.float32)


MOVIES = Movies(Ones(), np.array([0, 2, 0, 1, 0, 3], np.int32), np.array([2, 4], np.int32))


def places_of(histories, targets):
    targets = np.array(targets, np.int32)
    return Places(
        [np.array(h, np.int32) for h in histories],
        targets,
        np.isin(targets, MOVIES.new),
        np.arange(len(targets)),
    )


def test_the_models_own_list_is_in_the_catalogues_numbers_without_new_and_seen_movies():
    lists = try_new_movies.known_lists(np.ones((2, 1), np.float32), places_of([[5], [3, 2]], [1, 1]), MOVIES)
    assert lists[:, :3].tolist() == [[3, 1, 0], [1, 5, 0]]


def test_the_best_new_movies_are_unseen_ones():
    places = places_of([[5], [3, 2]], [4, 4])
    best = try_new_movies.best_new(np.array([[2.0, 1.0], [2.0, 1.0]]), places, MOVIES)
    assert best[:, :2].tolist() == [[2, 4], [4, 0]]


def test_the_takers_of_a_new_movie_are_what_stood_before_it():
    train = Histories.from_sequences([[2, 1, 2], [3, 4, 1], [1, 4]])
    takers = try_new_movies.draw_takers(train, MOVIES, np.random.default_rng(0))
    assert [sorted(history.tolist() for history in some) for some in takers] == [[[2, 1]], [[1], [3]]]


def test_targets_of_one_user_count_as_one_where_they_are_alike():
    values, users = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])
    assert try_new_movies.error(values, users) == pytest.approx(np.sqrt(2) / 4)
    assert try_new_movies.error(values, np.arange(4)) == pytest.approx(1 / 4)
