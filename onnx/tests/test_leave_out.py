import numpy as np
import pytest

from marquee_onnx import leave_out
from marquee_onnx.catalogue import read_movies
from marquee_onnx.data import Histories, Reading, read_dataset
from marquee_onnx.errors import DataError
from marquee_onnx.hold_back import write_sequences

ITEMS = 10
MOVIES = [100 - item for item in range(ITEMS)]  # the movie id of item i + 1


@pytest.fixture
def split(tmp_path):
    """A prepared split of twenty users and ten movies."""
    rng = np.random.default_rng(1)
    sequences = [rng.permutation(ITEMS)[: rng.integers(3, 8)] + 1 for _ in range(20)]
    write_sequences(tmp_path / "train.txt.gz", Histories.from_sequences(sequences))
    rows = [f"{item}\t{id}\tMovie {id} (1999)\t1999\tDrama" for item, id in enumerate(MOVIES, 1)]
    (tmp_path / "items.tsv").write_text("\n".join(["item\tmovieId\ttitle\tyear\tgenres", *rows]) + "\n")
    return tmp_path


def as_movies(histories, vocabulary):
    return sorted(vocabulary[history - 1].tolist() for history in histories)


def test_what_is_left_out_and_what_is_not_make_up_the_split(split, tmp_path):
    leave_out.write(split, tmp_path / "out", users=0.25, movies=0.3, seed=3)
    found = leave_out.read(tmp_path / "out")
    assert (len(found.taken), len(found.unseen), found.known) == (15, 5, 7)
    assert sorted(found.vocabulary.tolist()) == sorted(MOVIES)
    whole = read_dataset(split, Reading())
    everybody = as_movies(found.taken, found.vocabulary) + as_movies(found.unseen, found.vocabulary)
    assert sorted(everybody) == as_movies(whole.split.train, whole.vocabulary)


def test_nothing_of_the_new_movies_is_trained_on(split, tmp_path):
    found = leave_out.write(split, tmp_path / "out", users=0.25, movies=0.3, seed=3)
    trained = read_dataset(tmp_path / "out", Reading())
    assert trained.vocabulary.tolist() == found.vocabulary[:7].tolist()
    assert trained.split.train.items.max() <= 7
    without = leave_out.known_only(found.taken, found.known)
    assert sum(map(len, without)) == len(trained.split.train.items)


def test_every_movie_keeps_its_title(split, tmp_path):
    leave_out.write(split, tmp_path / "out", users=0.25, movies=0.3, seed=3)
    movies = read_movies(tmp_path / "out" / leave_out.CATALOGUE)
    assert {id: movie.title for id, movie in movies.items()} == {id: f"Movie {id} (1999)" for id in MOVIES}


def test_the_seed_decides_who_is_left_out(split, tmp_path):
    def unseen(seed):
        found = leave_out.write(split, tmp_path / str(seed), users=0.25, movies=0, seed=seed)
        return [history.tolist() for history in found.unseen]

    assert unseen(0) == unseen(0)
    assert unseen(0) != unseen(1)


def test_another_folder_is_refused(split):
    with pytest.raises(DataError, match=r"no taken\.txt\.gz"):
        leave_out.read(split)
