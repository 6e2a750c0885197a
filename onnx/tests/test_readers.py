"""What others wrote and is wrong: one sentence on standard error that names the place, and exit status 1."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from marquee_onnx import catalogue, random_bundle, runs
from marquee_onnx.__main__ import main
from marquee_onnx.data import Reading, read_dataset, read_targets
from marquee_onnx.text import to_json
from marquee_onnx.weights import Shape, to_state_dict

SPLIT = {
    "train.txt": b"1 2 3\n3 1 2\n",
    "val_input.txt": b"1 2\n3 1\n",
    "val_output.txt": b"3\n2\n",
    "items.tsv": b"item\tmovieId\ttitle\tgenres\n1\t10\ta (1990)\tWar\n2\t20\tb\t\n3\t30\tc\tWar\n",
}
HEADER = b"userId,movieId,rating,timestamp\n"
RATINGS = HEADER + b"1,10,4,5\n1,20,4,6\n2,20,4,7\n2,10,4,8\n"
MOVIES = b"movieId,title,genres\n10,a (1990),Drama\n20,b (1991),War\n"
SHAPE = Shape(items=3, dimension=8, maximum_length=4, heads=1, blocks=1)


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def refusal(capsys, *words: object) -> str:
    """The one sentence with which a command refuses its input."""
    assert main([str(word) for word in words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    *warnings, sentence = captured.err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings)
    assert sentence.startswith("error: ")
    return sentence


def report(capsys, *words: object) -> dict:
    """The report of a command with `--json`, which must be JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert main([*(str(word) for word in words), "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def evaluate_popularity(capsys, folder: Path) -> str:
    return refusal(capsys, "evaluate", "popularity", "--data", folder, "--json")


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("train.txt", b"1 2\n1 \xe9\n", "train.txt, line 2: byte 0xe9 is no UTF-8"),
        ("train.txt", b"1 4294967297\n", "train.txt, line 1: item 4294967297"),
        ("train.txt", b"1 2000000000\n", "train.txt, line 1: item 2000000000"),
        ("train.txt", b"1 4294967296\n3\n", "train.txt, line 1: item 4294967296"),
        ("train.txt", b"1 99999999999999999999999\n", "train.txt, line 1: item numbers"),
        ("train.txt", b"", "train.txt holds no sequence"),
        ("train.txt", b"\n\n", "train.txt holds no sequence"),
        ("train.txt", b"user movie\n1 2\n", "train.txt, line 1: item numbers"),
        ("train.txt", b"1 4\n", "names item 4, and only 3 are numbered"),
        ("val_input.txt", b"1 2\n3 \xe9\n", "val_input.txt, line 2: byte 0xe9"),
        ("val_input.txt", b"1 2\n", "1 histories and"),
        ("val_output.txt", b"3\n\xe9\n", "val_output.txt, line 2: byte 0xe9"),
        ("val_output.txt", b"", "val_output.txt holds no item"),
        ("val_output.txt", b"3\n\n2\n", "val_output.txt, line 2: 0 items"),
        ("val_output.txt", b"3 1\n2\n", "val_output.txt, line 1: 2 items"),
        ("val_output.txt", b"3\n4\n", "names item 4, and only 3 are numbered"),
        ("items.tsv", b"", "items.tsv has no header"),
        ("items.tsv", b"1\t10\n2\t20\n3\t30\n", "items.tsv has no header"),
        ("items.tsv", b"item\tmovieId\n", "items.tsv does not number its 0 items"),
        ("items.tsv", b"item\tmovieId\n1\t10\n2\n", "items.tsv, line 3: an item number and a movie id"),
        ("items.tsv", b"item\tmovieId\n1\t4294967296\n", "items.tsv, line 2: movie id '4294967296'"),
        ("items.tsv", b"item\tmovieId\n1\tten\n", "items.tsv, line 2: movie id 'ten'"),
        ("items.tsv", b"item\tmovieId\n" + b"9" * 5_000 + b"\t1\n", "items.tsv, line 2: an item number"),
        ("items.tsv", b"item\tmovieId\n1\t10\n2\t10\n", "gives a movie two numbers"),
        ("items.tsv", b"item\tmovieId\n1\t\xe9\n", "items.tsv, line 2: byte 0xe9"),
    ],
)
def test_a_wrong_file_of_a_prepared_split_is_one_sentence(tmp_path, capsys, file, content, complaint):
    folder = folder_of(tmp_path / "split", SPLIT | {file: content})
    assert complaint in evaluate_popularity(capsys, folder)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("ratings.csv", b"", "ratings.csv is empty"),
        ("ratings.csv", b"\n\n", "ratings.csv is empty"),
        ("ratings.csv", HEADER, "ratings.csv holds no rating"),
        ("ratings.csv", b"1,10,4,5\n1,20,4,6\n", "has no column userId, movieId, timestamp"),
        ("ratings.csv", b"user,movieId,time\n1,2,3\n", "has no column userId, timestamp"),
        ("ratings.csv", RATINGS + b"\xe9,10,4,5\n", "ratings.csv, line 6: byte 0xe9"),
        ("ratings.csv", RATINGS + b"anna,10,4,5\n", "ratings.csv, line 6: user id 'anna'"),
        ("ratings.csv", RATINGS + b"1.5,10,4,5\n", "ratings.csv, line 6: user id '1.5'"),
        ("ratings.csv", RATINGS + b"18446744073709551616,10,4,5\n", "line 6: user id '18446744073709551616'"),
        ("ratings.csv", RATINGS + b"3,tt0114709,4,5\n", "ratings.csv, line 6: movie id 'tt0114709'"),
        ("ratings.csv", RATINGS + b"3,4294967296,4,5\n", "ratings.csv, line 6: movie id '4294967296'"),
        ("ratings.csv", RATINGS + b"3,0,4,5\n", "ratings.csv, line 6: movie id '0'"),
        ("ratings.csv", RATINGS + b"3,-1,4,5\n", "ratings.csv, line 6: movie id '-1'"),
        ("ratings.csv", RATINGS + b"3,10,4,yesterday\n", "ratings.csv, line 6: time 'yesterday'"),
        ("ratings.csv", RATINGS + b"3,10,4\n", "ratings.csv, line 6: 3 fields where 4 are expected"),
        ("ratings.csv", RATINGS + b"3,10,4,5,6\n", "ratings.csv, line 6: 5 fields where 4 are expected"),
        ("ratings.dat", b"", "ratings.dat is empty"),
        ("ratings.dat", b"1::10::4::5\n1::20::4\n", "ratings.dat, line 2: 3 fields where 4 are expected"),
        ("ratings.dat", b"1::10::4::5\n\xe9::20::4::6\n", "ratings.dat, line 2: byte 0xe9"),
        ("ratings.csv", RATINGS + b"3,10,4,1e30\n", "ratings.csv, line 6: time '1e30' has not come yet"),
        ("ratings.csv", RATINGS + b"3,10,4,1e999\n", "ratings.csv, line 6: time '1e999' has not come yet"),
        ("ratings.csv", RATINGS + b"3,10,4,2005-13-45 23:53:47\n", "line 6: time '2005-13-45 23:53:47';"),
        ("ratings.csv", RATINGS + b"3,10,4,9999-12-31 23:59:59\n", "23:59:59' has not come yet"),
        ("ratings.csv", RATINGS + b"3,10,4,253402300799\n", "line 6: time '253402300799' has not come yet"),
        ("ratings.csv", RATINGS + b"3,10,4,964982703000\n", "line 6: time '964982703000' looks like millise"),
        (
            "ratings.csv",
            RATINGS + b"3,10,4,964982703000000\n",
            "line 6: time '964982703000000' looks like mic",
        ),
        (
            "ratings.dat",
            b"1,10,4,5\n",
            "ratings.dat, line 1: 1 fields where 4 are expected, separated by '::'",
        ),
        ("u.data", b"1 2 3\t4\t5\n", "u.data, line 1: 3 fields where 4 are expected, separated by"),
        ("u.data", b"1\t4294967296\t4\t5\n", "u.data, line 1: movie id '4294967296'"),
    ],
)
def test_a_wrong_file_of_ratings_is_one_sentence(tmp_path, capsys, file, content, complaint):
    pytest.importorskip("polars")
    assert complaint in evaluate_popularity(capsys, folder_of(tmp_path / "data", {file: content}))


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("movies.csv", b"", "movies.csv has no column movieId, title"),
        ("movies.csv", b"10,a (1990),Drama\n", "movies.csv has no column movieId, title"),
        ("movies.csv", MOVIES + b"30,Am\xe9lie,Drama\n", "movies.csv, line 4: byte 0xe9"),
        ("movies.csv", MOVIES + b"4294967296,a,Drama\n", "movies.csv, line 4: movie id '4294967296'"),
        ("movies.csv", MOVIES + b"x,a,Drama\n", "movies.csv, line 4: movie id 'x'"),
        ("movies.csv", MOVIES + b"30,President, The,Drama\n", "movies.csv, line 4: 3 fields are expected"),
        ("movies.csv", MOVIES + b"30,a\n", "movies.csv, line 4: 3 fields are expected"),
        ("movies.dat", b"10::a (1990)\n", "movies.dat, line 1: 3 fields are expected"),
        ("movies.dat", b"x::a (1990)::Drama\n", "movies.dat, line 1: movie id 'x'"),
        ("u.item", b"10|a (1990)|\n", "u.item, line 1: 24 fields are expected"),
    ],
)
def test_a_wrong_catalogue_is_one_sentence(tmp_path, capsys, file, content, complaint):
    pytest.importorskip("polars")
    folder = folder_of(tmp_path / "data", {"ratings.csv": RATINGS, file: content})
    assert complaint in evaluate_popularity(capsys, folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xe9\n", "ids.txt, line 1: byte 0xe9"),
        (b"1\n\n4294967296\n", "ids.txt, line 3: movie id '4294967296'"),
        (b"movieId\n1\n2\n3\n", "ids.txt, line 1: movie id 'movieId'"),
        (b"", "0 ids for 3 items"),
    ],
)
def test_a_wrong_vocabulary_of_a_checkpoint_is_one_sentence(tmp_path, capsys, content, complaint):
    save_file(to_state_dict(random_bundle.random_weights(SHAPE, seed=0)), tmp_path / "m.safetensors")
    (tmp_path / "ids.txt").write_bytes(content)
    words = (tmp_path / "m.safetensors", tmp_path / "run", "--heads", 1, "--vocabulary", tmp_path / "ids.txt")
    assert complaint in refusal(capsys, "import-checkpoint", *words)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"movieId,title,genres\n1,Am\xe9lie,Drama\n", "movies.csv, line 2: byte 0xe9"),
        (b"", "movies.csv has no column"),
        (MOVIES, "holds 2 movies, 3 are wanted"),
    ],
)
def test_wrong_movies_of_a_random_bundle_are_one_sentence(tmp_path, capsys, content, complaint):
    (tmp_path / "movies.csv").write_bytes(content)
    words = ("--items", 3, "--dimension", 8, "--heads", 1, "--movies", tmp_path / "movies.csv")
    assert complaint in refusal(capsys, "random", tmp_path / "bundle", *words)


@pytest.mark.parametrize("command", ["evaluate", "export", "card"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "config.json is no JSON"),
        (b"[]", "config.json holds no JSON object"),
        (b'{"name": "\xe9"}', "config.json, line 1: byte 0xe9"),
        (b"{}", "how many heads"),
        (b'{"heads": true}', "how many heads"),
        (b'{"a": ' * 100_000, "config.json is no JSON"),
        (b'{"heads": ' + b"9" * 5_000 + b"}", "config.json is no JSON"),
    ],
)
def test_a_wrong_configuration_of_a_run_is_one_sentence(tmp_path, capsys, command, content, complaint):
    split = folder_of(tmp_path / "split", SPLIT)
    weights = random_bundle.random_weights(SHAPE, seed=0)
    runs.write(tmp_path / "run", runs.Run(weights, np.array([10, 20, 30], np.uint32), {}, {}))
    (tmp_path / "run" / "config.json").write_bytes(content)
    options = {
        "evaluate": ("--data", split),
        "export": ("--output", tmp_path / "bundle"),
        "card": ("--items", split, "--output", tmp_path / "CARD.md"),
    }
    assert complaint in refusal(capsys, command, tmp_path / "run", *options[command])


def random_run(folder: Path) -> Path:
    """A run that knows the movies of `SPLIT`."""
    weights = random_bundle.random_weights(SHAPE, seed=0)
    runs.write(folder, runs.Run(weights, np.array([10, 20, 30], np.uint32), {}, {}))
    return folder


@pytest.mark.parametrize("command", ["evaluate", "export"])
@pytest.mark.parametrize(
    "files",
    [
        {"items.tsv": SPLIT["items.tsv"].replace(b"0\t", b"1\t")},
        {"items.tsv": SPLIT["items.tsv"].replace(b"30\t", b"31\t"), "val_output.txt": b"3\n3\n"},
    ],
)
def test_a_model_is_not_judged_on_movies_that_it_does_not_know(tmp_path, capsys, command, files):
    split, run = folder_of(tmp_path / "split", SPLIT | files), random_run(tmp_path / "run")
    output = ("--output", tmp_path / "bundle") if command == "export" else ()
    assert "the model knows no movie" in refusal(capsys, command, run, "--data", split, *output)
    assert not (tmp_path / "bundle").exists()


def test_an_empty_vocabulary_of_a_run_is_one_sentence(tmp_path, capsys):
    split, run = folder_of(tmp_path / "split", SPLIT), random_run(tmp_path / "run")
    (run / "vocabulary.u32").write_bytes(b"")
    said = refusal(capsys, "evaluate", run, "--data", split)
    assert "vocabulary.u32 is no list of 4-byte ids: it has 0 bytes" in said


def test_a_training_that_is_no_object_is_one_sentence(tmp_path, capsys):
    weights = random_bundle.random_weights(SHAPE, seed=0)
    runs.write(tmp_path / "run", runs.Run(weights, np.array([10, 20, 30], np.uint32), {}, {}))
    (tmp_path / "run" / "config.json").write_text('{"heads": 1, "training": [1]}')
    words = ("export", tmp_path / "run", "--output", tmp_path / "bundle")
    assert "config.json holds no objects as training and metrics" in refusal(capsys, *words)


def test_a_manifest_that_nests_too_deep_is_one_sentence(tmp_path, capsys):
    folder = folder_of(tmp_path / "bundle", {"bundle.json": b"[" * 100_000})
    assert "bundle.json is no JSON" in refusal(capsys, "inspect", folder)


def test_a_folder_in_place_of_weights_is_one_sentence(tmp_path, capsys):
    run = random_run(tmp_path / "run")
    (run / "model.safetensors").unlink()
    (run / "model.safetensors").mkdir()
    said = refusal(capsys, "export", run, "--output", tmp_path / "bundle")
    assert "model.safetensors is no safetensors file" in said


def test_a_half_copied_archive_is_one_sentence(tmp_path, capsys):
    files = {name: content for name, content in SPLIT.items() if name != "train.txt"}
    folder = folder_of(tmp_path / "split", files)
    (folder / "train.txt.gz").write_bytes(gzip.compress(b"1 2 3\n" * 1000)[:-9])
    assert "train.txt.gz is no whole gzip file" in evaluate_popularity(capsys, folder)
    (folder / "train.txt.gz").write_bytes(b"1 2 3\n")
    assert "train.txt.gz is no whole gzip file" in evaluate_popularity(capsys, folder)


def test_movie_ids_in_place_of_item_numbers_are_refused_with_advice(tmp_path, capsys):
    folder = folder_of(tmp_path / "split", {"train.txt": b"114709 113497 9999999\n"})
    assert "3 items with numbers up to 9999999; number them from 1" in evaluate_popularity(capsys, folder)


def test_blank_lines_at_the_end_of_a_file_are_harmless(tmp_path):
    pytest.importorskip("polars")
    expected = read_dataset(folder_of(tmp_path / "split", SPLIT), Reading())
    padded = {name: content + b"\n\n" for name, content in SPLIT.items()}
    found = read_dataset(folder_of(tmp_path / "padded", padded), Reading())
    assert found.vocabulary.tolist() == expected.vocabulary.tolist()
    assert found.split.targets.tolist() == expected.split.targets.tolist()
    assert found.split.inputs.offsets.tolist() == expected.split.inputs.offsets.tolist()
    assert found.split.train.offsets.tolist() == expected.split.train.offsets.tolist()
    files = {"ratings.csv": RATINGS + b"\n\n", "movies.csv": MOVIES + b"\n"}
    assert len(read_dataset(folder_of(tmp_path / "data", files), Reading()).split.targets) == 2
    assert len(catalogue.read_movies(tmp_path / "data")) == 2


def test_a_blank_line_between_ratings_is_harmless_and_later_lines_keep_their_numbers(tmp_path, capsys):
    pytest.importorskip("polars")
    lines = RATINGS.replace(b"1,20", b"\n1,20")
    folder = folder_of(tmp_path / "data", {"ratings.csv": lines})
    assert len(read_dataset(folder, Reading()).split.targets) == 2
    (folder / "ratings.csv").write_bytes(lines + b"x,1,4,9\n")
    assert "line 7: user id 'x'" in evaluate_popularity(capsys, folder)


def test_a_blank_line_among_judged_histories_is_a_user_without_history(tmp_path, capsys):
    folder = folder_of(tmp_path / "split", SPLIT | {"val_input.txt": b"\n3 1\n\n"})
    assert report(capsys, "evaluate", "popularity", "--data", folder)["users"] == 2


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path):
    pytest.importorskip("polars")
    windows = {n: b"\xef\xbb\xbf" + c.replace(b"\n", b"\r\n") for n, c in SPLIT.items()}
    assert read_dataset(folder_of(tmp_path / "split", windows), Reading()).split.targets.tolist() == [3, 2]
    files = {n: b"\xef\xbb\xbf" + c.replace(b"\n", b"\r\n") for n, c in {"ratings.csv": RATINGS}.items()}
    dataset = read_dataset(folder_of(tmp_path / "data", files), Reading())
    assert dataset.vocabulary.tolist() == [10, 20]


def test_the_largest_ids_are_read(tmp_path):
    pytest.importorskip("polars")
    rows = HEADER + b"18446744073709551615,4294967295,4,5\n18446744073709551615,1,4,6\n0,1,4,7\n"
    dataset = read_dataset(folder_of(tmp_path / "data", {"ratings.csv": rows}), Reading(split="none"))
    assert dataset.vocabulary.tolist() == [1, 4294967295]
    assert [history.tolist() for history in dataset.split.train] == [[1], [2, 1]]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("9.5e8", "964982703.0"), ("2005-04-02 23:31:16", "2005-04-02T23:53:47Z"), ("9", "10")],
)
def test_times_are_seconds_or_dates_and_order_the_events_as_such(tmp_path, earlier, later):
    pytest.importorskip("polars")
    rows = HEADER + f'1,10,4,"{later}"\n1,20,4,"{earlier}"\n'.encode()
    dataset = read_dataset(folder_of(tmp_path / "data", {"ratings.csv": rows}), Reading(split="none"))
    assert dataset.split.train[0].tolist() == [2, 1]


def test_targets_of_a_file_without_last_line_end_are_read(tmp_path):
    (tmp_path / "output.txt").write_text("3\n2")
    assert read_targets(tmp_path / "output.txt").tolist() == [3, 2]


def test_a_figure_that_lists_of_one_movie_do_not_allow_is_left_out_of_the_json(tmp_path, capsys):
    pytest.importorskip("polars")
    folder = folder_of(tmp_path / "data", {"ratings.csv": RATINGS, "movies.csv": MOVIES})
    figures = report(capsys, "evaluate", "popularity", "--data", folder)
    assert "genre_diversity@10" not in figures
    assert figures["freshness@10"] == 1.0


def test_figures_of_users_who_have_seen_every_movie_are_left_out_of_the_json(tmp_path, capsys):
    folder = folder_of(tmp_path / "split", SPLIT | {"val_input.txt": b"1 2 3\n1 2 3\n"})
    figures = report(capsys, "evaluate", "popularity", "--data", folder)
    assert not {"novelty@10", "freshness@10", "genre_diversity@10"} & set(figures)


def test_a_catalogue_without_genres_says_nothing_of_diversity(tmp_path, capsys):
    pytest.importorskip("polars")
    movies = b"movieId,title\n10,a (1990)\n20,b (1991)\n"
    folder = folder_of(tmp_path / "data", {"ratings.csv": RATINGS, "movies.csv": movies})
    figures = report(capsys, "evaluate", "popularity", "--data", folder)
    assert "genre_diversity@10" not in figures
    assert figures["freshness@10"] == 1.0


def test_json_has_null_where_a_number_is_none():
    value = {"a": [float("nan"), 1.0], "b": {"c": float("-inf")}, "d": np.float64("nan")}
    assert json.loads(to_json(value)) == {"a": [None, 1.0], "b": {"c": None}, "d": None}


def test_a_manifest_has_null_where_a_figure_is_none(tmp_path, capsys):
    folder = tmp_path / "run"
    weights = random_bundle.random_weights(SHAPE, seed=0)
    training = {"data": "own", "terms": "own"}
    runs.write(folder, runs.Run(weights, np.array([10, 20, 30], np.uint32), training, {"mrr": float("nan")}))
    assert json.loads((folder / "config.json").read_text())["metrics"] == {"mrr": None}
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("null", "NaN"))
    assert main(["export", str(folder), "--output", str(tmp_path / "bundle")]) == 0
    capsys.readouterr()
    assert report(capsys, "inspect", tmp_path / "bundle")["manifest"]["metrics"] == {"mrr": None}


def test_a_wrong_command_line_is_told_apart_by_exit_status_2(capsys):
    assert main(["teach"]) == 2
    assert main(["random"]) == 2
    assert main(["evaluate", "popularity"]) == 2
    assert main(["bench", "--batched", "cpu"]) == 2
    for words in (
        ["evaluate", "popularity", "--resamples", "0"],
        ["random", "bundle", "--seed", "-1"],
        ["random", "bundle", "--items", "9" * 5_000],
        ["bench", "--profile", "-1"],
        ["bench", "--seconds", "nan"],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 2
        assert "is no " in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--threads", "-1"), ("--patience", "-1"), ("--minimum-user", "9" * 30)])
def test_a_wrong_command_line_of_a_training_is_told_apart_by_exit_status_2(capsys, option):
    pytest.importorskip("torch")
    with pytest.raises(SystemExit) as exit_:
        main(["train", "data", "--output", "run", *option])
    assert exit_.value.code == 2
    assert "is no whole number from" in capsys.readouterr().err


def test_weights_are_written_into_a_file_and_no_folder(tmp_path, capsys):
    said = refusal(capsys, "random", tmp_path / "bundle", "--with-weights", tmp_path)
    assert "is a folder; name a file" in said
    assert not (tmp_path / "bundle").exists()


def test_sizes_beyond_the_memory_are_one_sentence(tmp_path, capsys, monkeypatch):
    def allocate(*_: object) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(random_bundle, "random_weights", allocate)
    said = refusal(capsys, "random", tmp_path / "bundle")
    assert "not enough memory: Unable to allocate 1 TiB; choose smaller sizes" in said


def test_the_release_of_1m_names_its_movies_in_latin_1(tmp_path):
    rows = "1::Mis\xe9rables, Les (1995)::Drama|Musical\n2::A::B (1998) (V)::Comedy\n\n".encode("latin-1")
    movies = catalogue.read_movies(folder_of(tmp_path, {"movies.dat": rows}))
    assert movies[1] == catalogue.Movie("Mis\xe9rables, Les (1995)", 1995, ("Drama", "Musical"))
    assert movies[2] == catalogue.Movie("A::B (1998) (V)", 1998, ("Comedy",))


def test_the_release_of_100k_flags_its_genres(tmp_path):
    flags = ["0"] * 19
    flags[4] = flags[18] = "1"
    row = "|".join(["7", "Caf\xe9 (1993)", "01-Jan-1993", "", "http://", *flags]) + "\n"
    movies = catalogue.read_movies(folder_of(tmp_path, {"u.item": row.encode("latin-1")}))
    assert movies == {7: catalogue.Movie("Caf\xe9 (1993)", 1993, ("Children's", "Western"))}
