import gzip

import numpy as np
import pytest

from marquee_onnx import catalogue
from marquee_onnx.__main__ import main
from marquee_onnx.data import DataError, Dataset, Histories, Reading, Split, read_dataset, read_sequences
from marquee_onnx.hold_back import hold_back
from marquee_onnx.hold_back import write as write_split

RATINGS = [  # user, movie, rating, time
    (7, 30, 4.0, 100),
    (7, 10, 3.5, 100),
    (7, 20, 5.0, 50),
    (9, 10, 1.0, 10),
    (9, 40, 2.0, 300),
    (9, 20, 3.0, 20),
]


def folder_of(tmp_path, form):
    lines = {
        "ratings.csv": ["userId,movieId,rating,timestamp"] + [",".join(map(str, row)) for row in RATINGS],
        "ratings.dat": ["::".join(map(str, row)) for row in RATINGS],
        "u.data": ["\t".join(map(str, row)) for row in RATINGS],
    }[form]
    (tmp_path / form).write_text("\n".join(lines) + "\n")
    return tmp_path


def sequences(histories):
    return [history.tolist() for history in histories]


@pytest.mark.parametrize("form", ["ratings.csv", "ratings.dat", "u.data"])
def test_every_generation_of_movielens_reads_the_same_ordered_by_time_then_movie(tmp_path, form):
    pytest.importorskip("polars")
    dataset = read_dataset(folder_of(tmp_path, form), Reading(split="none"))
    assert dataset.vocabulary.tolist() == [10, 20, 30, 40]
    assert sequences(dataset.split.train) == [[2, 1, 3], [1, 2, 4]]


def test_leave_one_out_holds_back_the_newest_item(tmp_path):
    pytest.importorskip("polars")
    split = read_dataset(folder_of(tmp_path, "ratings.csv"), Reading()).split
    assert sequences(split.train) == sequences(split.inputs) == [[2, 1], [1, 2]]
    assert split.targets.tolist() == [3, 4]


def test_a_global_time_split_trains_on_nothing_after_the_cut(tmp_path):
    pytest.importorskip("polars")
    split = read_dataset(
        folder_of(tmp_path, "ratings.csv"), Reading(split="global-time", train_fraction=0.5)
    ).split
    assert sequences(split.train) == [[2], [1, 2]]
    whole = [[2, 1, 3], [1, 2, 4]]
    for history, before, seen, target in zip(whole, split.train, split.inputs, split.targets, strict=True):
        assert len(before) <= len(seen)
        assert history[: len(seen) + 1] == [*seen.tolist(), target]


def test_by_time_every_user_with_later_events_is_judged_by_one_of_them_after_all_before_it():
    movielens = pytest.importorskip("marquee_onnx.movielens")
    lengths, begins = (
        [4, 3, 1, 2],
        [0, 5, 9, 2],
    )  # the second began after the cut, the third has nothing before
    times = np.concatenate([np.arange(n) + begin for n, begin in zip(lengths, begins, strict=True)])
    items = np.concatenate([np.arange(1, n + 1) for n in lengths]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ratings = movielens.Ratings(Histories(items, offsets), times * 60, np.arange(1, 5, dtype=np.uint32))
    split = movielens.global_time(ratings, fraction=0.4)  # before the fourth minute of the first user
    assert [len(history) for history in split.train] == [3, 0, 0, 1]
    assert [len(seen) for seen in split.inputs][::2] == [3, 1]
    assert split.targets.tolist() == [len(seen) + 1 for seen in split.inputs]
    assert split.moments.gaps.tolist() == [60, 60, 60]
    assert (split.moments.times > 120).all()


def test_minimum_counts_drop_movies_then_users(tmp_path):
    pytest.importorskip("polars")
    dataset = read_dataset(folder_of(tmp_path, "ratings.csv"), Reading(split="none", minimum_movie=2))
    assert dataset.vocabulary.tolist() == [10, 20]
    with pytest.raises(DataError, match="lower them"):
        read_dataset(tmp_path, Reading(split="none", minimum_movie=2, minimum_user=3))


def test_the_catalogue_vocabulary_numbers_unrated_movies_too(tmp_path):
    pytest.importorskip("polars")
    folder = folder_of(tmp_path, "ratings.csv")
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n15,Unseen (1999),Drama\n10,Seen (1998),Comedy\n"
    )
    dataset = read_dataset(folder, Reading(split="none", vocabulary="catalogue"))
    assert dataset.vocabulary.tolist() == [10, 15, 20, 30, 40]


def test_a_prepared_split_reads_plain_and_gzipped_files(tmp_path):
    with gzip.open(tmp_path / "train.txt.gz", "wt") as file:
        file.write("1 2 3\n3 1\n")
    (tmp_path / "val_input.txt").write_text("1 2 3\n")
    (tmp_path / "val_output.txt").write_text("2\n")
    (tmp_path / "items.tsv").write_text(
        "item\tmovieId\ttitle\tyear\tgenres\n1\t50\ta\t1990\tDrama\n2\t40\tb\t1991\t\n3\t30\tc\t1992\tDrama\n"
    )
    dataset = read_dataset(tmp_path, Reading())
    assert sequences(dataset.split.train) == [[1, 2, 3], [3, 1]]
    assert dataset.split.targets.tolist() == [2]
    assert dataset.vocabulary.tolist() == [50, 40, 30]


def test_a_folder_without_ratings_is_refused_with_advice(tmp_path):
    pytest.importorskip("polars")
    with pytest.raises(DataError, match="name a MovieLens folder"):
        read_dataset(tmp_path, Reading())


@pytest.mark.parametrize(("line", "complaint"), [("3 x", "line 2: item numbers"), ("3 0", "line 2: item 0;")])
def test_a_line_that_holds_no_item_numbers_is_refused(tmp_path, line, complaint):
    (tmp_path / "input.txt").write_text(f"1 2\n{line}\n")
    with pytest.raises(DataError, match=complaint):
        read_sequences(tmp_path / "input.txt")


def test_a_missing_file_is_one_line_and_not_a_traceback(tmp_path, capsys):
    histories, missing = tmp_path / "input.txt", tmp_path / "output.txt"
    histories.write_text("1 2\n")
    assert main(["evaluate", "popularity", "--input", str(histories), "--output", str(missing)]) == 1
    assert f"{missing}: No such file" in capsys.readouterr().err


def test_a_catalogue_with_other_columns_is_refused_with_their_names(tmp_path):
    (tmp_path / "items.tsv").write_text("item\tmovie\ttitle\n1\t7\tHeat (1995)\n")
    with pytest.raises(DataError, match="no column movieId"):
        catalogue.read_movies(tmp_path)


def test_an_empty_line_is_a_user_without_history(tmp_path):
    (tmp_path / "input.txt").write_text("1 2\n\n3\n")
    assert sequences(read_sequences(tmp_path / "input.txt")) == [[1, 2], [], [3]]


def test_taking_and_selecting_keep_each_users_oldest_items():
    histories = Histories.from_sequences([[1, 2, 3], [4], [5, 6]])
    assert sequences(histories.take(np.array([2, 0, 5]))) == [[1, 2], [], [5, 6]]
    assert sequences(histories.without_last()) == [[1, 2], [], [5]]
    assert sequences(histories.select(np.array([2, 0]))) == [[5, 6], [1, 2, 3]]


def dataset_of(train, inputs, vocabulary):
    inputs = Histories.from_sequences(inputs)
    split = Split(Histories.from_sequences(train), inputs, np.ones(len(inputs), np.int32))
    return Dataset(split, np.array(vocabulary, np.uint32))


def test_added_histories_are_renumbered_by_movielens_id_without_unknown_movies():
    first = dataset_of([[1, 2]], [], [10, 20, 30])
    other = dataset_of([[1, 2, 3]], [], [30, 99, 10])
    assert sequences(first.with_histories(other).split.train) == [[1, 2], [3, 1]]


def test_histories_of_a_judged_user_in_another_release_are_left_out():
    judged = dataset_of([], [[1, 2, 3, 4]], [10, 20, 30, 40, 50])
    same_user, other_user = [1, 2, 3, 5], [1, 5, 6, 7]
    other = dataset_of([same_user, other_user], [], [10, 20, 30, 60, 40, 70, 80])
    assert sequences(judged.without_copies(other).split.train) == [other_user]


def test_a_title_gives_the_year_and_missing_genres_are_none(tmp_path):
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n1,"City, The (1995)",Action|Crime\n2,Odd,(no genres listed)\n'
    )
    movies = catalogue.read_movies(tmp_path)
    assert movies[1] == catalogue.Movie("City, The (1995)", 1995, ("Action", "Crime"))
    assert movies[2] == catalogue.Movie("Odd", 0, ())


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Heat (1995)", 1995),
        ("Pandora's Clock (1996) (TV)", 1996),
        ("Death Note: Desu nôto (2006–2007)", 2006),
        ("20,000 Leagues (20000 Leagues)", 0),
        ("Space Odyssey (9999)", 0),
        ("1984", 0),
    ],
)
def test_the_year_of_a_title_is_the_one_that_the_server_reads(title, year):
    assert catalogue.year_of(title) == year


@pytest.mark.parametrize("year", ["99999999999999999999", "9" * 5_000, "3000", "0", "", "unknown"])
def test_a_year_that_is_none_is_the_one_of_the_title(year):
    assert catalogue.movie("Heat (1995)", [], year).year == 1995
    assert catalogue.movie("Heat (1995)", [], "1996").year == 1996


def test_a_genre_that_is_said_twice_counts_once():
    assert catalogue.movie("Odd", ["Drama", " drama ", "War", "", "DRAMA"]).genres == ("Drama", "War")


def test_held_back_items_are_judged_after_all_that_came_before_them():
    split = hold_back(Histories.from_sequences([[1, 2, 3, 4], [5, 6], [7, 8, 9]]), 2)
    assert [history.tolist() for history in split.train] == [[1, 2], [7]]
    assert [history.tolist() for history in split.inputs] == [[1, 2], [7], [1, 2, 3], [7, 8]]
    assert split.targets.tolist() == [3, 8, 4, 9]


def test_a_held_back_split_is_read_again(tmp_path):
    split = hold_back(Histories.from_sequences([[1, 2, 3, 4], [7, 8, 9]]), 1)
    write_split(tmp_path / "held", split)
    read = read_dataset(tmp_path / "held", Reading()).split
    assert (read.targets == split.targets).all()
    assert [h.tolist() for h in read.train] == [h.tolist() for h in split.train]
