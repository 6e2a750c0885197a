"""A training that begins with an earlier model: what is kept, what is new, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import SMALL, random_bundle_of  # noqa: E402
from test_train import config_of, ratings_of  # noqa: E402

from marquee_onnx import forward, synthetic, trainer, warm_start  # noqa: E402
from marquee_onnx.__main__ import main  # noqa: E402
from marquee_onnx.data import Histories  # noqa: E402
from marquee_onnx.errors import DataError  # noqa: E402
from marquee_onnx.trainer import Settings, Trainer  # noqa: E402
from marquee_onnx.weights import POSITIONS  # noqa: E402

KINDS = (frozenset({"genre comedy"}), frozenset({"genre western"}))
SIZES = {"dimension": 64, "maximum_length": 32, "heads": 4, "blocks": 3}
OPTIONS = ["--dimension", "8", "--maximum-length", "5", "--batch-tokens", "64"]


@pytest.fixture(params=POSITIONS)
def earlier(request, tmp_path):
    folder, _ = random_bundle_of(replace(SMALL, positions=request.param), tmp_path / "bundle", "f32")
    return warm_start.read(folder)


def test_the_trainer_begins_with_what_the_bundle_answers(earlier):
    settings = Settings(**SIZES, positions=earlier.weights.shape.positions)
    histories = [np.array([5, 9, 3]), np.arange(1, 40)]
    run = Trainer(Histories.from_sequences(histories), SMALL.items, settings, torch.device("cpu"))
    run.begin_with(warm_start.begin(earlier, earlier.vocabulary, np.zeros(SMALL.items), None))
    with torch.no_grad():
        got = trainer.score(run.model.eval(), histories, torch.device("cpu"))
    expected = forward.encode(earlier.weights, histories) @ earlier.weights.output_embedding.T
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
    kept = run.average.weights["output_embedding.weight"][1:-1].numpy()
    np.testing.assert_array_equal(kept, earlier.weights.output_embedding)


def test_rows_follow_their_movies_into_another_vocabulary(earlier):
    vocabulary = np.concatenate([earlier.vocabulary[:1:-1], [4_000_000_000]]).astype(np.uint32)
    weights = warm_start.begin(earlier, vocabulary, np.zeros(len(vocabulary)), None)
    assert weights.shape == replace(earlier.weights.shape, items=len(vocabulary))
    for table in ("item_embedding", "output_embedding"):
        before, after = getattr(earlier.weights, table), getattr(weights, table)
        np.testing.assert_array_equal(after[:-1], before[:1:-1])
        np.testing.assert_allclose(after[-1], before[2:].mean(0), atol=1e-6)


def test_movies_with_keys_are_found_again_under_other_numbers(earlier):
    keys = ["", *(f"pod/{item}" for item in range(1, SMALL.items))]
    earlier = replace(earlier, keys=keys)
    # The first has no key and is found by its number; a number that another key has now means another movie.
    vocabulary = np.array([earlier.vocabulary[0], earlier.vocabulary[1], 4_000_000_000], np.uint32)
    called = earlier.calls(vocabulary, ["", "pod/new", "pod/5"])
    assert called.tolist() == [earlier.vocabulary[0], 0, earlier.vocabulary[5]]
    weights = warm_start.begin(earlier, called, np.zeros(3), None)
    before = earlier.weights.item_embedding
    np.testing.assert_array_equal(weights.item_embedding[[0, 2]], before[[0, 5]])
    np.testing.assert_allclose(weights.item_embedding[1], before[[0, 5]].mean(0), atol=1e-6)
    assert earlier.calls(vocabulary, None) is vocabulary


def test_a_new_movie_begins_as_what_the_catalogue_says_of_it(earlier):
    output = earlier.weights.output_embedding.copy()
    output[:, 0] = np.where(np.arange(SMALL.items) % 2, 5.0, -5.0)
    earlier = replace(earlier, weights=replace(earlier.weights, output_embedding=output))
    vocabulary = np.append(earlier.vocabulary, [4_000_000_000, 4_000_000_001]).astype(np.uint32)
    said = [KINDS[item % 2] for item in range(len(vocabulary))]
    events = np.full(len(vocabulary), 100)
    weights = warm_start.begin(earlier, vocabulary, events, said)
    assert weights.output_embedding[-2:, 0] == pytest.approx([-5, 5], abs=1)
    np.testing.assert_array_equal(weights.output_embedding[:-2], output)


def test_a_model_of_other_movies_is_refused(earlier):
    with pytest.raises(DataError, match="knows no movie of these data"):
        warm_start.begin(earlier, np.array([4_000_000_000], np.uint32), np.zeros(1), None)


@pytest.fixture
def data(tmp_path):
    return ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])


def train(data, output, *options):
    return main(["train", str(data), "--output", str(output), *OPTIONS, *map(str, options)])


def test_a_nightly_run_goes_on_from_the_bundle_and_says_so(tmp_path, data, capsys):
    assert train(data, tmp_path / "run", "--epochs", 2) == 0
    assert (
        main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "bundle"), "--version", "1"]) == 0
    )
    capsys.readouterr()
    later = ratings_of(tmp_path / "later", [(user, movie) for user in (1, 2) for movie in (1, 2, 5, 3)])
    start = ("--warm-start", tmp_path / "bundle")
    assert train(later, tmp_path / "night", "--epochs", 1, *start) == 0
    said = capsys.readouterr().out
    assert said.startswith("begins with run@1: 3 movies known, 1 new\n")
    assert "\nin service: run@1 " in said
    assert config_of(tmp_path / "night")["training"]["warm_start"] == "run@1"


def test_a_model_that_knows_nothing_of_what_is_judged_is_begun_with_and_not_judged(tmp_path, data, capsys):
    assert train(data, tmp_path / "run", "--epochs", 2) == 0
    later = ratings_of(tmp_path / "later", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 5)])
    assert train(later, tmp_path / "night", "--epochs", 1, "--warm-start", tmp_path / "run") == 0
    assert "warning: the model in service is not judged beside: the model knows" in capsys.readouterr().err


def test_a_run_folder_can_be_begun_with_too(tmp_path, data, capsys):
    assert train(data, tmp_path / "run", "--epochs", 2) == 0
    assert train(data, tmp_path / "night", "--epochs", 1, "--warm-start", tmp_path / "run") == 0
    assert "begins with run: 4 movies known, 0 new" in capsys.readouterr().out


def test_a_run_does_not_go_on_with_another_start(tmp_path, data, capsys):
    assert train(data, tmp_path / "run", "--epochs", 1) == 0
    assert train(data, tmp_path / "run", "--epochs", 2, "--warm-start", tmp_path / "run") == 1
    assert "was begun with another warm_start; choose another --output" in capsys.readouterr().err


def test_another_shape_is_refused_with_the_options_that_fit(tmp_path, data, capsys):
    assert train(data, tmp_path / "run", "--epochs", 1) == 0
    other = ("--warm-start", tmp_path / "run", "--dimension", 16, "--positions", "right")
    assert train(data, tmp_path / "night", *other) == 1
    said = capsys.readouterr().err
    assert "has another dimension, positions: train with --dimension 8 --positions bias" in said
    assert not (tmp_path / "night").exists()


@pytest.mark.slow
def test_a_quarter_of_the_epochs_from_the_model_in_service_comes_up_to_a_full_training(tmp_path, capsys):
    pl = pytest.importorskip("polars")
    frame = synthetic.ratings(800, 300, seed=3, tastes=8).sort("userId", "timestamp", "movieId")
    nth, events = pl.int_range(pl.len()).over("userId"), pl.len().over("userId")
    earlier = frame.filter((nth < 0.8 * events) & (pl.col("movieId") % 20 != 7))  # one movie of twenty is new
    for name, rows in (("whole", frame), ("earlier", earlier)):
        (tmp_path / name).mkdir()
        rows.write_csv(tmp_path / name / "ratings.csv")
    sizes = ["--dimension", "32", "--maximum-length", "50", "--negatives", "128", "--batch-tokens", "512"]
    start = ("--warm-start", tmp_path / "in-service")
    for name, data, epochs, *more in (
        ("in-service", "earlier", 12),
        ("full", "whole", 12),
        ("cold", "whole", 3),
        ("warm", "whole", 3, *start),
    ):
        options = [*sizes, "--dropout", "0.2", "--rate", "0.004", "--threads", "1", "--epochs", epochs, *more]
        assert main([*map(str, ["train", tmp_path / data, "--output", tmp_path / name, *options])]) == 0
    capsys.readouterr()
    runs = [str(tmp_path / name) for name in ("full", "cold", "warm")]
    assert main(["runs", "compare", *runs, "--json"]) == 0
    _, cold, warm = (group["differences"]["nDCG@10"] for group in json.loads(capsys.readouterr().out))
    assert warm["value"] > -0.02
    assert cold["value"] < warm["value"] - 0.03
