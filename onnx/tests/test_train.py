"""The trainer. Everything here needs PyTorch; the rest of the package is tested without."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from marquee_onnx import __main__, bundle, losses, progress, reference, terms, titles, train, trainer  # noqa: E402
from marquee_onnx.batches import NEVER, Windows  # noqa: E402
from marquee_onnx.data import Histories  # noqa: E402
from marquee_onnx.errors import MarqueeError  # noqa: E402
from marquee_onnx.judged import Judged  # noqa: E402
from marquee_onnx.model import Dropout, GSASRec  # noqa: E402
from marquee_onnx.recommenders import BASELINES, read_weights  # noqa: E402
from marquee_onnx.trainer import Settings, Trainer  # noqa: E402
from marquee_onnx.weights import POSITIONS, from_state_dict  # noqa: E402

SAMPLE = Path(__file__).parent.parent / "data" / "ml-latest-small"
CPU = torch.device("cpu")


def random_histories(users=30, items=40, seed=0):
    rng = np.random.default_rng(seed)
    return Histories.from_sequences([rng.permutation(items)[: rng.integers(2, 25)] + 1 for _ in range(users)])


def small_settings(**changes):
    base = {"dimension": 16, "maximum_length": 10, "negatives": 8, "epochs": 3, "batch_tokens": 60}
    return Settings(**(base | changes))


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_network_agrees_with_the_float64_reference(positions):
    torch.manual_seed(0)
    sizes = {"items": 40, "dimension": 16, "maximum_length": 10, "heads": 2, "blocks": 2}
    model = GSASRec(**sizes, initialisation=0.5, positions=positions, item_dropout=0.5).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    weights = from_state_dict({n: w.numpy() for n, w in model.state_dict().items()}, heads=2)
    histories = [history for history in random_histories(12)]
    with torch.no_grad():
        got = trainer.score(model, histories, CPU)
    expected = [reference.score(weights, reference.encode(weights, h.tolist())) for h in histories]
    np.testing.assert_allclose(got, np.stack(expected), rtol=1e-4, atol=1e-4)


def authors_gbce(positive, negatives, items, calibration):
    """The float64 transformation of the positive score, as the authors' code has it."""
    k = len(negatives)
    alpha = k / (items - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    probability = torch.clamp(torch.sigmoid(torch.tensor(positive, dtype=torch.float64)), 1e-10, 1 - 1e-10)
    adjusted = torch.clamp(probability ** (-beta), 1 + 1e-10, torch.finfo(torch.float64).max)
    logit = torch.log(1.0 / (adjusted - 1))
    logits = torch.cat([logit[None], torch.tensor(negatives, dtype=torch.float64)])
    truth = torch.tensor([1.0] + [0.0] * k, dtype=torch.float64)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_in_closed_form_equals_the_authors_transformation(calibration):
    rng = np.random.default_rng(2)
    positive, negatives = rng.normal(0, 3, 6), rng.normal(0, 3, (6, 16))
    expected = np.mean(
        [authors_gbce(p, n, 500, calibration) for p, n in zip(positive, negatives, strict=True)]
    )
    target, candidates = (torch.tensor(x, dtype=torch.float32) for x in (positive, negatives))
    got = losses.gbce(target, candidates, torch.zeros(6, 16, dtype=torch.bool), 500, calibration)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_gbce_stays_finite_at_scores_where_the_sigmoid_saturates():
    target = torch.tensor([-200.0, 200.0], requires_grad=True)
    candidates = torch.full((2, 4), 200.0, requires_grad=True)
    loss = losses.gbce(target, candidates, torch.zeros(2, 4, dtype=torch.bool), 100, 0.75)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(target.grad).all()


def test_excluded_candidates_change_neither_loss_nor_gradient():
    target = torch.tensor([0.3, -0.2])
    candidates = torch.tensor([[1.0, 9.0], [0.5, 9.0]], requires_grad=True)
    excluded = torch.tensor([[False, True], [False, True]])
    masked = losses.softmax(target, candidates, excluded, smoothing=0.1)
    alone = losses.softmax(target, candidates[:, :1], excluded[:, :1], smoothing=0.1)
    assert float(masked.detach()) == pytest.approx(float(alone.detach()))
    masked.backward()
    assert candidates.grad[:, 1].tolist() == [0.0, 0.0]


def test_softmax_over_the_whole_catalogue_is_the_cross_entropy():
    scores = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([3, 0, 19, 7, 7])
    excluded = torch.nn.functional.one_hot(truth, 20).bool()
    got = losses.softmax(scores.gather(1, truth[:, None])[:, 0], scores, excluded, smoothing=0.2)
    expected = torch.nn.functional.cross_entropy(scores, truth, label_smoothing=0.2)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def test_dropout_keeps_the_mean_and_drops_the_share():
    torch.manual_seed(0)
    dropped = Dropout(0.25).train()(torch.ones(400, 401))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("negatives", [7, None])
def test_batches_hold_consecutive_events_and_where_each_candidate_was_first_seen(negatives):
    histories = random_histories()
    windows = Windows(histories, 40, 10, 60, negatives, random_windows=0.5)
    events = 0
    for batch in windows.epoch(np.random.default_rng(1)):
        for row in range(len(batch.lengths)):
            of_row = batch.rows == row
            window = [*batch.items[row, : batch.lengths[row]].tolist(), int(batch.targets[of_row][-1])]
            last = int(batch.target_index[of_row][-1])
            owners = [h.tolist() for h in histories if h[: last + 1].tolist()[-len(window) :] == window]
            assert owners
            assert batch.items[row, 1 : batch.lengths[row]].tolist() == batch.targets[of_row][:-1].tolist()
            history = owners[0]
            first = [history.index(c) if c in history else NEVER for c in batch.candidates.tolist()]
            assert batch.first_seen[row].tolist() == first
        events += len(batch.targets)
        assert len(set(batch.candidates.tolist())) == len(batch.candidates) == (negatives or 40)
    assert events == np.minimum(histories.lengths - 1, 10).sum()


def test_a_long_history_gives_its_newest_window_unless_told_otherwise():
    histories = Histories.from_sequences([np.arange(1, 31)])
    batch = next(Windows(histories, 30, 10, 60, 5, random_windows=0.0).epoch(np.random.default_rng(0)))
    assert batch.targets.tolist() == list(range(21, 31))


def gradient_rows(settings, histories):
    torch.manual_seed(0)
    run = Trainer(histories, 6, settings, CPU)
    batch = next(run.windows.epoch(np.random.default_rng(0)))
    run.model.zero_grad()
    run.loss(batch).backward()
    return (run.model.output_embedding.weight.grad.abs().sum(1) > 0).tolist()


@pytest.mark.parametrize("negatives_for", ["batch", "position"])
def test_items_seen_before_are_not_pushed_down(negatives_for):
    histories = Histories.from_sequences([[1, 2, 3]])
    settings = small_settings(
        negatives=6 if negatives_for == "batch" else 200, negatives_for=negatives_for, dropout=0.0
    )
    assert gradient_rows(settings, histories) == [False, False, True, True, True, True, True, False]
    pushed = Settings(**(settings.__dict__ | {"exclude": "none"}))
    assert gradient_rows(pushed, histories) == [False, True, True, True, True, True, True, False]


@pytest.mark.parametrize(
    "changes",
    [{}, {"sparse": 1, "average": 0.0}, {"loss": "gbce"}, {"positions": "bias", "item_dropout": 0.2}],
)
def test_a_resumed_run_has_the_weights_of_one_that_was_not_stopped(tmp_path, changes):
    settings = small_settings(**changes)
    through = Trainer(random_histories(), 40, settings, CPU)
    for _ in range(3):
        through.run_epoch()
    first = Trainer(random_histories(), 40, settings, CPU)
    first.run_epoch()
    first.save(tmp_path / "state")
    resumed = Trainer(random_histories(), 40, settings, CPU)
    resumed.load(tmp_path / "state")
    for _ in range(2):
        resumed.run_epoch()
    for name, weight in through.average.weights.items():
        assert torch.equal(weight, resumed.average.weights[name]), name


def test_training_stops_when_validation_stays_without_gain_and_keeps_the_best_weights(
    tmp_path, monkeypatch, capsys
):
    histories = random_histories()
    judged = Judged(histories, np.ones(len(histories), np.int32))
    run = Trainer(histories, 40, small_settings(epochs=50), CPU)
    figures = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    seen = []

    def judge(*_):
        seen.append({name: weight.clone() for name, weight in run.average.weights.items()})
        return {"ndcg@10": next(figures)}

    monkeypatch.setattr(run, "judge", judge)
    train.train(run, tmp_path, judged, every=1, patience=2)
    assert run.epoch == 4
    train.train(run, tmp_path, judged, every=1, patience=2)
    assert run.epoch == 4
    said = "stopped after epoch 4: no gain in 2 validations\nkeeps the weights of epoch 2\n"
    assert capsys.readouterr().out.endswith(said)
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], weight) for name, weight in seen[1].items())


def test_the_rate_warms_up_and_falls_to_zero():
    settings = small_settings(rate=1.0, warmup=0.1)
    rates = [trainer.learning_rate(settings, progress) for progress in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


@pytest.mark.slow
def test_a_short_training_on_the_sample_beats_popularity_and_writes_a_run_that_evaluates(tmp_path, capsys):
    run = tmp_path / "run"
    options = "--epochs 15 --dimension 32 --maximum-length 50 --dropout 0.2 --negatives 512"
    options += " --batch-tokens 1024 --rate 4e-3 --positions bias --content-prior 30"
    arguments = ["train", str(SAMPLE), "--output", str(run), *options.split(), "--validate-every", "15"]
    assert __main__.main(arguments) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["items"] == (run / "vocabulary.u32").stat().st_size // 4 == read_weights(run).shape.items
    assert config["items"] == (run / "titles.u32").stat().st_size // 4
    capsys.readouterr()
    figures = {}
    for model in (str(run), "popularity"):
        assert __main__.main(["evaluate", model, "--data", str(SAMPLE), "--json"]) == 0
        figures[model] = json.loads(capsys.readouterr().out)
    assert figures[str(run)]["users"] == 671
    assert figures[str(run)]["ndcg@10"] == pytest.approx(config["metrics"]["ndcg@10"], abs=2e-3)
    assert figures[str(run)]["ndcg@10"] > 1.1 * figures["popularity"]["ndcg@10"]


SMALL = ["--dimension", "8", "--maximum-length", "5", "--epochs", "2", "--batch-tokens", "64"]
ONE_MILLION = "1::Toy Story (1995)::Animation|Comedy\n2::Mis\xe9rables, Les (1995)::Drama\n3::A (1990)::War\n"


def ratings_of(folder, rows):
    """A folder of ratings.csv with one row for each (user, movie), in the order of time."""
    folder.mkdir()
    lines = [f"{user},{movie},4,{time}" for time, (user, movie) in enumerate(rows)]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n")
    return folder


def train_small(data, output, *options):
    return __main__.main(["train", str(data), "--output", str(output), *SMALL, *options])


def config_of(run):
    return json.loads((run / "config.json").read_text())


def test_one_rating_is_refused_with_advice(tmp_path, capsys):
    assert train_small(ratings_of(tmp_path / "data", [(1, 1)]), tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "no training history of two or more items" in said
    assert not (tmp_path / "run").exists()


def test_string_ids_are_refused_with_advice(tmp_path, capsys):
    assert train_small(ratings_of(tmp_path / "data", [("anna", 1)]), tmp_path / "run") == 1
    assert "line 2: user id 'anna'; user ids are numbers" in capsys.readouterr().err


def test_a_prior_without_a_catalogue_is_refused_before_the_first_epoch(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3)])
    assert train_small(data, tmp_path / "run", "--content-prior", "30") == 1
    assert "lists no movies for rare ones to lean on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_two_users_are_trained_on_with_warnings(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert "warning: histories of two or more items to learn from: 2;" in said
    assert "warning: users judged: 2; nDCG@10 is uncertain by about 0.21" in said


def test_too_few_movies_and_events_are_said(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert "warning: movies with events: 3; a list of ten is a good part of them" in said
    assert "warning: events to learn from: 6; below 10,000 popularity and item-knn are hard to beat" in said
    assert "time" not in said


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((7, 7, 7, 7), "every user's events have one time"),
        ((7, 7, 7, 8), "events in the same second as the user's event before: 67%"),
        ((7, 7, 8, 9), None),
    ],
)
def test_times_that_do_not_order_the_events_are_said(tmp_path, capsys, times, said):
    rows = [f"{user},{movie},4,{time}" for user in (1, 2) for movie, time in enumerate(times, 1)]
    (tmp_path / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]) + "\n")
    assert train_small(tmp_path, tmp_path / "run") == 0
    errors = capsys.readouterr().err
    assert said in errors if said else "second" not in errors and "one time" not in errors


def test_a_split_that_judges_nobody_is_trained_on_with_a_warning(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run", "--split", "none") == 0
    assert "warning: nobody is judged" in capsys.readouterr().err
    assert config_of(tmp_path / "run")["metrics"] == {}


def test_a_judged_user_without_history_has_all_movies_alike(tmp_path):
    (tmp_path / "train.txt").write_text("1 2 3\n3 2 1\n")
    (tmp_path / "val_input.txt").write_text("\n1\n")
    (tmp_path / "val_output.txt").write_text("1\n2\n")
    assert train_small(tmp_path, tmp_path / "run") == 0
    with torch.no_grad():
        scores = trainer.score(GSASRec(3, 8, 5, 1, 1).eval(), [np.zeros(0, np.int32)], CPU)
    assert scores.tolist() == [[0.0, 0.0, 0.0]]


def test_progress_says_epoch_n_of_m_and_popularity_beside_the_validation(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    opening, first, second, *beside, closing = capsys.readouterr().out.splitlines()
    assert opening == "2 histories, 6 interactions, 4 movies, 2 users judged"
    assert re.fullmatch(r"epoch 1 of 2: loss \d\.\d{4}, \d+\.\d s, \d+ s left", first)
    assert second.startswith("epoch 2 of 2: loss ")
    assert second.endswith("; validation nDCG@10 1.0000 (popularity 1.0000)")
    assert [line.split("  ")[0] for line in beside] == ["", "the new model", *BASELINES]
    assert closing.endswith("validation nDCG@10 1.0000 (popularity 1.0000)")


@pytest.mark.parametrize(("seconds", "said"), [(41.4, "41 s"), (720, "12 min"), (11_100, "3 h 05 min")])
def test_the_time_left_is_that_of_the_epochs_so_far(seconds, said):
    left = progress.TimeLeft(epochs=10)
    left.after(7, seconds / 3 - 1)
    assert left.after(7, seconds / 3 + 1) == said


def test_the_popularity_of_the_progress_is_that_of_evaluate(tmp_path, capsys):
    data = ratings_of(
        tmp_path / "data", [(user, (user * step) % 11 + 1) for user in range(1, 9) for step in range(9)]
    )
    assert train_small(data, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert __main__.main(["evaluate", "popularity", "--data", str(data), "--json"]) == 0
    popularity = json.loads(capsys.readouterr().out)["ndcg@10"]
    assert 0 < popularity < 1
    assert f"(popularity {popularity:.4f})" in said


def test_a_plot_of_one_epoch_shows_its_points_and_the_baseline():
    record = {"epoch": 1, "loss": 3.0, "ndcg@10": 0.1, "recall@10": 0.2}
    left, right = progress.curves([record], baseline=0.05).axes
    assert [line.get_marker() for line in left.lines] == ["."]
    *figures, baseline = right.lines
    assert [line.get_marker() for line in figures] == ["o", "o"]
    assert set(baseline.get_ydata()) == {0.05}


def test_a_run_is_judged_on_the_release_of_1m_that_it_was_trained_on(tmp_path, capsys):
    data = tmp_path / "ml-1m"
    data.mkdir()
    rows = [f"{user}::{movie}::5::{97830 + movie}" for user in (1, 2, 3) for movie in (1, 2, 3)]
    (data / "ratings.dat").write_text("\n".join(rows) + "\n")
    (data / "movies.dat").write_text(ONE_MILLION, encoding="latin-1")
    assert train_small(data, tmp_path / "run", "--vocabulary", "catalogue") == 0
    capsys.readouterr()
    assert __main__.main(["evaluate", str(tmp_path / "run"), "--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ndcg@10"] == config_of(tmp_path / "run")["metrics"]["ndcg@10"] == 1.0
    assert report["freshness@10"] == 1.0  # the events are of 1970, before all movies


def test_a_run_is_judged_on_ratings_that_come_without_titles(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    capsys.readouterr()
    assert __main__.main(["evaluate", str(tmp_path / "run"), "--data", str(data), "--json"]) == 0
    assert "freshness@10" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "warned"),
    [(["--split", "none"], True), (["--minimum-movie", "2"], True), (["--split", "leave-one-out"], False)],
)
def test_a_run_that_may_know_what_it_is_asked_for_is_judged_with_a_warning(tmp_path, capsys, options, warned):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run", *options) == 0
    capsys.readouterr()
    assert __main__.main(["evaluate", str(tmp_path / "run"), "--data", str(data)]) == 0
    assert ("it may know what it is asked for" in capsys.readouterr().err) == warned


def test_own_data_never_carry_the_terms_of_movielens(tmp_path):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    assert config_of(tmp_path / "run")["training"]["terms"] == "not stated"
    assert train_small(data, tmp_path / "stated", "--terms", "ours") == 0
    output = tmp_path / "bundle"
    assert __main__.main(["export", str(tmp_path / "stated"), "--output", str(output)]) == 0
    assert bundle.check(output)["training"]["terms"] == "ours"


def test_terms_are_those_of_movielens_where_the_release_says_so(tmp_path):
    own = ratings_of(tmp_path / "own", [(1, 1)])
    (own / "README.md").write_text("Like those of GroupLens at the University of Minnesota, and ours.")
    assert terms.stated_terms([SAMPLE]) == terms.MOVIELENS
    assert terms.stated_terms([SAMPLE, own]) == f"ml-latest-small: {terms.MOVIELENS}; own: not stated"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--heads", "3"], "3 heads do not divide"),
        (["--dropout", "1"], "dropout is 1.0"),
        (["--batch-tokens", "0"], "batch_tokens is 0"),
        (["--batch-tokens", "99999999999"], "batch_tokens is 99999999999"),
        (["--maximum-length", "99999999999"], "maximum_length is 99999999999"),
        (["--seed", "99999999999999999999"], "seed is 99999999999999999999"),
        (["--seed", "-1"], "seed is -1"),
        (["--weight-decay", "nan"], "weight_decay is nan"),
        (["--rate", "inf"], "rate is inf"),
        (["--device", "abacus"], "'abacus'"),
        (["--device", "meta"], "'meta'"),
        (["--device", "cuda:99"], "no GPU for --device cuda:99"),
    ],
)
def test_settings_that_train_nothing_are_refused(tmp_path, capsys, options, complaint):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run", *options) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("movies", "complaint"),
    [
        (b"", "has no column movieId, title"),
        (b"movieId,title\n1,Am\xe9lie\n", "line 2: byte 0xe9"),
        (b"movieId,title\n1,a,b\n", "line 2: 2 fields are expected"),
    ],
)
def test_wrong_titles_are_noticed_before_the_first_epoch(tmp_path, capsys, movies, complaint):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    (data / "movies.csv").write_bytes(movies)
    assert train_small(data, tmp_path / "run") == 1
    said = capsys.readouterr()
    assert complaint in said.err
    assert "epoch" not in said.out
    assert not (tmp_path / "run").exists()


def test_titles_need_no_genres(tmp_path):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    (data / "movies.csv").write_text("movieId,title\n1,Toy Story (1995)\n")
    assert train_small(data, tmp_path / "run") == 0
    assert titles.read(tmp_path / "run").tolist() == [zlib.crc32(b"Toy Story (1995)"), 0, 0, 0]


def test_a_training_writes_into_no_folder_of_somebody_else(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "vocabulary.u32").write_bytes(b"mine")
    assert train_small(data, tmp_path / "bundle") == 1
    assert "has vocabulary.u32 and no settings.json" in capsys.readouterr().err
    assert (tmp_path / "bundle" / "vocabulary.u32").read_bytes() == b"mine"


@pytest.mark.parametrize("line", ["5", "{}", '{"epoch": "a", "loss": 1}', "{", "[]"])
def test_a_log_that_is_damaged_is_noticed_before_the_training_goes_on(tmp_path, capsys, line):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    (tmp_path / "run" / "log.jsonl").write_text(f"{line}\n")
    assert train_small(data, tmp_path / "run") == 1
    assert "log.jsonl, line 1 " in capsys.readouterr().err


def test_a_folder_in_place_of_a_state_is_refused(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    (tmp_path / "run" / "state.safetensors").unlink()
    (tmp_path / "run" / "state.safetensors").mkdir()
    assert train_small(data, tmp_path / "run") == 1
    assert "state.safetensors is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("movies", [(1, 2, 3, 4, 5), (1, 2, 3, 5)])
def test_a_run_does_not_go_on_with_other_movies(tmp_path, capsys, movies):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    other = ratings_of(tmp_path / "other", [(user, movie) for user in (1, 2) for movie in movies])
    assert train_small(data, tmp_path / "run") == 0
    assert train_small(other, tmp_path / "run") == 1
    assert "was begun with another vocabulary; choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--split", "none"], "split"),
        (["--minimum-user", "2"], "minimum_user"),
        (["--split", "global-time", "--train-fraction", "0.5"], "split, train_fraction"),
    ],
)
def test_a_run_does_not_go_on_with_another_split(tmp_path, capsys, options, changed):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    assert train_small(data, tmp_path / "run", *options) == 1
    assert f"was begun with another {changed}; choose another --output" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_training(tmp_path, monkeypatch):
    run = Trainer(random_histories(), 40, small_settings(), CPU)
    monkeypatch.setattr(run, "run_epoch", lambda: float("nan"))
    with pytest.raises(MarqueeError, match="lower --rate"):
        train.train(
            run, tmp_path, Judged(Histories.from_sequences([]), np.zeros(0, np.int32)), every=1, patience=0
        )
    assert not (tmp_path / "model.safetensors").exists()


def test_options_that_changed_refuse_to_resume(tmp_path, capsys):
    data = ratings_of(tmp_path / "data", [(user, movie) for user in (1, 2) for movie in (1, 2, 3, 4)])
    assert train_small(data, tmp_path / "run") == 0
    assert train_small(data, tmp_path / "run", "--rate", "0.5") == 1
    assert "another rate" in capsys.readouterr().err
