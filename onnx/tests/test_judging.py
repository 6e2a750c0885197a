import json
from dataclasses import replace

import numpy as np
import pytest

from marquee_onnx import item_data, judging, tune
from marquee_onnx.__main__ import main
from marquee_onnx.data import Histories, Moments
from marquee_onnx.judged import Judged
from marquee_onnx.judging import Figure
from marquee_onnx.objectives import Objectives
from marquee_onnx.rerank import Items

ITEMS, USERS = 40, 30


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A prepared split of random histories with two groups of genres, and its catalogue."""
    rng = np.random.default_rng(9)
    folder = tmp_path_factory.mktemp("split")
    histories = [rng.permutation(ITEMS)[: rng.integers(4, 9)] + 1 for _ in range(USERS)]
    lines = [" ".join(map(str, history)) for history in histories]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    (folder / "val_input.txt").write_text("\n".join(line.rsplit(" ", 1)[0] for line in lines) + "\n")
    (folder / "val_output.txt").write_text("\n".join(line.rsplit(" ", 1)[1] for line in lines) + "\n")
    rows = [
        f"{item}\t{item + 100}\tMovie {item} ({1960 + item})\t{1960 + item}\t{genres}"
        for item, genres in zip(
            range(1, ITEMS + 1), rng.choice(["Drama", "Drama|War", "Comedy", "Sci-Fi"], ITEMS), strict=True
        )
    ]
    (folder / "items.tsv").write_text("\n".join(["item\tmovieId\ttitle\tyear\tgenres", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A folder of ratings: user 1's last two in the same second, 2's a minute apart, 3's a day."""
    folder = tmp_path_factory.mktemp("ratings")
    rows = ["userId,movieId,rating,timestamp"]
    for user, gap in ((1, 0), (2, 60), (3, 86_400)):
        rows += [f"{user},{movie},{movie % 5 + 1},{1000 + movie}" for movie in range(1, 9)]
        rows.append(f"{user},{10 + user},5,{1008 + gap}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    movies = [
        f"{movie},Movie {movie} ({1955 + movie}),{'Drama' if movie % 2 else 'War'}" for movie in range(1, 15)
    ]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies]) + "\n")
    return folder


def report(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_figure_has_its_standard_error(split, capsys):
    plain = report(capsys, "evaluate", "popularity", "--data", split)
    errors = plain["standard_errors"]
    expected = {"genre_diversity@10", "calibration_kl@10", "novelty@10", "long_tail@10", "freshness@10"}
    assert expected | {"ndcg@10", "recall@10", "coverage@10"} <= set(errors)
    assert all(error is not None and error >= 0 for error in errors.values())
    assert all(plain["intervals"][name][0] <= plain[name] <= plain["intervals"][name][1] for name in ("mrr",))


def test_objectives_change_the_list_in_their_direction_and_leave_the_plain_figures(split, capsys):
    plain = report(capsys, "evaluate", "popularity", "--data", split)
    both = report(capsys, "evaluate", "popularity", "--data", split, "--diversity", "1", "--calibration", "1")
    other = both["with_objectives"]
    assert {name: both[name] for name in plain["standard_errors"]} == {
        name: plain[name] for name in plain["standard_errors"]
    }
    assert other["genre_diversity@10"] > plain["genre_diversity@10"]
    assert other["calibration_kl@10"] < plain["calibration_kl@10"]
    gained = other["differences"]["genre_diversity@10"]
    assert gained["value"] == pytest.approx(other["genre_diversity@10"] - plain["genre_diversity@10"])
    assert gained["low"] < gained["value"] < gained["high"]
    assert (other["beta"], other["gamma"]) == (8.0, 2.0)


@pytest.mark.parametrize(
    ("options", "figure", "sign"),
    [
        (["--popularity-weight", "-1"], "novelty@10", 1),
        (["--freshness-weight", "2"], "freshness@10", 1),
        (["--max-per-genre", "2"], "genre_diversity@10", 1),
    ],
)
def test_a_weight_moves_its_figure(split, capsys, options, figure, sign):
    found = report(capsys, "evaluate", "co-occurrence", "--data", split, *options)["with_objectives"]
    assert sign * found["differences"][figure]["value"] > 0


def test_ndcg_stands_in_columns_by_the_gap_of_time(ratings, capsys):
    pytest.importorskip("polars")
    gaps = report(capsys, "evaluate", "popularity", "--data", ratings)["ndcg@10_by_gap"]
    assert {name: part["users"] for name, part in gaps.items()} == {
        "same second": 1,
        "same minute": 1,
        "longer": 1,
    }
    assert main(["evaluate", "popularity", "--data", str(ratings), "--diversity", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "same second (1)" in printed
    assert "with objectives" in printed


def test_a_list_is_as_old_as_its_event_or_as_the_catalogue():
    items = Items.of(
        np.eye(3), np.zeros((3, 1), bool), np.zeros(3, int), np.array([0, 1990, 2004]), np.zeros(3)
    )
    users = Histories.from_sequences([[1], [2]])
    judged = Judged(users, np.array([2, 1], dtype=np.int32))
    assert judging.years_of(judged, items, 2).tolist() == [2004, 2004]
    moments = Moments(np.array([0, 978_307_199]), np.array([1, 1]))  # the last second of the year 2000
    assert judging.years_of(replace(judged, moments=moments), items, 2).tolist() == [1970, 2000]


def test_mean_stars_lean_to_the_mean_of_all_where_a_movie_has_few(ratings):
    pytest.importorskip("polars")
    stars = item_data.mean_stars(ratings, np.array([1, 4, 11, 14], dtype=np.uint32))
    overall = (6 + 15 + 5) / 7  # of the movies of this vocabulary: three ratings of 1 and 4, one of 11
    assert stars[1:] == pytest.approx(
        [(6 + 10 * overall) / 13, (15 + 10 * overall) / 13, (5 + 10 * overall) / 11, overall]
    )


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--calibration", "give --items or --data"),
        ("--freshness-weight", "give --items or --data"),
        ("--popularity-weight", "give --train or --data"),
        ("--rating-weight", "give the --data of a MovieLens folder"),
    ],
)
def test_an_objective_that_the_data_says_nothing_of_is_refused(split, tmp_path, capsys, option, advice):
    bare = [
        *("--input", str(split / "val_input.txt"), "--output", str(split / "val_output.txt")),
        *(() if "popularity" in option else ("--train", str(split / "train.txt"))),
    ]
    model = "popularity" if "popularity" not in option else str(small_run(tmp_path))
    assert main(["evaluate", model, *bare, option, "0.5"]) == 1
    said = capsys.readouterr().err
    assert option in said
    assert advice in said


def small_run(folder):
    """A run folder of random weights for the split's items."""
    from marquee_onnx import random_bundle, runs
    from marquee_onnx.weights import Shape

    weights = random_bundle.random_weights(Shape(ITEMS, 8, 10, 1, 1), seed=1)
    vocabulary = np.arange(101, 101 + ITEMS, dtype=np.uint32)
    runs.write(folder / "run", runs.Run(weights, vocabulary, {}, {}))
    return folder / "run"


def test_a_model_with_vectors_says_how_alike_they_are(split, tmp_path, capsys):
    run = small_run(tmp_path)
    plain = report(capsys, "evaluate", run, "--data", split, "--diversity", "1")
    assert plain["with_objectives"]["differences"]["vector_diversity@10"]["value"] > 0


def figure(*shares):
    values = np.array(shares, dtype=np.float64)
    return Figure(float(np.nanmean(values)), values)


def test_a_difference_is_paired_by_user():
    found = judging.difference(figure(1.0, 0.5, 0.3), figure(0.9, 0.4, 0.2))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_error_of_a_share_that_every_user_keeps_alike_is_zero():
    share, error = judging.kept(figure(0.5, 0.25, 0.0), figure(1.0, 0.5, 0.0))
    assert (share, error) == pytest.approx((0.5, 0.0))


def point(accuracy, diversity, kept):
    figures = {"ndcg@10": figure(accuracy, accuracy), "genre_diversity@10": figure(diversity, diversity)}
    return tune.Point(Objectives(diversity=diversity), figures, kept, 0.0)


def test_the_front_is_what_nothing_beats():
    points = [point(1.0, 0.1, 1.0), point(0.9, 0.5, 0.9), point(0.8, 0.4, 0.8), point(0.7, 0.6, 0.7)]
    assert tune.front(points, ["genre_diversity@10"]) == [points[0], points[1], points[3]]


def test_the_preset_gains_most_of_what_keeps_the_share():
    points = [point(1.0, 0.1, 1.0), point(0.99, 0.3, 0.99), point(0.9, 0.5, 0.9)]
    plain = points[0].figures
    assert tune.preset(points, plain, ["genre_diversity@10"], 0.95) == points[1]
    assert tune.preset(points, plain, ["genre_diversity@10"], 0.5) == points[2]
    assert tune.preset(points, plain, ["genre_diversity@10"], 1.0) is None


def test_tune_writes_the_front_as_table_json_and_plot(split, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["tune", "co-occurrence", "--data", str(split), "--folder", str(tmp_path / "tuned")]
    varied = ["--vary", "diversity=0,0.5,1", "--vary", "calibration=0,1", "--keep", "0.5"]
    assert main([*arguments, *varied]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "tuned" / "front.md").read_text() == printed
    found = json.loads((tmp_path / "tuned" / "front.json").read_text())
    assert len(found["points"]) == 6
    assert found["preset"] in [each["objectives"] for each in found["points"] if each["on_front"]]
    assert "preset that keeps 50% of nDCG@10" in printed
    drawn = (tmp_path / "tuned" / "front.svg").read_text()
    assert drawn.count("nDCG@10 kept") == 2
    assert main([*arguments[:-1], str(tmp_path / "again"), *varied]) == 0
    assert (tmp_path / "again" / "front.svg").read_text() == drawn


@pytest.mark.parametrize(
    ("varied", "said"),
    [("diversity=2", "0 to 1"), ("taste=1", "not of the form"), ("diversity", "not of the form")],
)
def test_a_grid_that_no_request_could_have_is_refused(split, tmp_path, capsys, varied, said):
    with pytest.raises(SystemExit):
        main(["tune", "popularity", "--data", str(split), "--folder", str(tmp_path), "--vary", varied])
    assert said in capsys.readouterr().err


def test_a_goal_that_the_data_says_nothing_of_is_refused(split, tmp_path, capsys):
    files = ["--input", str(split / "val_input.txt"), "--output", str(split / "val_output.txt")]
    model = ["tune", str(small_run(tmp_path)), *files, "--folder", str(tmp_path / "tuned")]
    assert main([*model, "--vary", "diversity=0,1", "--goal", "novelty@10"]) == 2
    assert "novelty@10 cannot be said" in capsys.readouterr().err
