"""From a public checkpoint to a bundle, and what inspect says of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import histories
from safetensors.numpy import load_file, save_file

from marquee_onnx import bundle, random_bundle, reference, runs, sessions
from marquee_onnx.__main__ import main
from marquee_onnx.weights import POSITIONS, Shape, to_state_dict

SHAPE = Shape(items=40, dimension=16, maximum_length=12, heads=2, blocks=2)


@pytest.fixture
def checkpoint(tmp_path):
    """A public-format state dict and a vocabulary file."""
    weights = random_bundle.random_weights(SHAPE, seed=3)
    save_file(to_state_dict(weights), tmp_path / "gsasrec.safetensors")
    ids = random_bundle.gapped_vocabulary(SHAPE.items)
    (tmp_path / "movies.txt").write_text("".join(f"{movie}\n" for movie in ids))
    return tmp_path


def import_it(folder, *options: str, name: str = "gsasrec.safetensors") -> int:
    vocabulary = str(folder / "movies.txt")
    return main(
        ["import-checkpoint", str(folder / name), str(folder / "run"), "--vocabulary", vocabulary, *options]
    )


def edit(folder, **changes: np.ndarray | None) -> None:
    state = {**load_file(folder / "gsasrec.safetensors"), **changes}
    save_file({k: v for k, v in state.items() if v is not None}, folder / "gsasrec.safetensors")


def test_a_public_checkpoint_becomes_a_bundle_that_encodes_as_the_reference(checkpoint):
    assert import_it(checkpoint, "--heads", "2") == 0
    output = ["--output", str(checkpoint / "bundle")]
    assert main(["export", str(checkpoint / "run"), *output, "--name", "imported"]) == 0
    manifest = bundle.check(checkpoint / "bundle")
    assert bundle.shape_of(manifest) == SHAPE
    weights = random_bundle.random_weights(SHAPE, seed=3)
    session = sessions.open_session(checkpoint / "bundle" / "encoder.cpu.onnx")
    for history in histories(SHAPE):
        got = sessions.encode(session, history, SHAPE.maximum_length)
        assert np.abs(got - reference.encode(weights, history)).max() < 1e-5


def test_a_pytorch_file_is_imported_weights_only(checkpoint):
    torch = pytest.importorskip("torch")
    state = {k: torch.from_numpy(v) for k, v in load_file(checkpoint / "gsasrec.safetensors").items()}
    torch.save(state, checkpoint / "gsasrec.pt")
    assert import_it(checkpoint, "--heads", "2", name="gsasrec.pt") == 0
    assert runs.read(checkpoint / "run").weights.shape == SHAPE


def test_a_pytorch_file_that_runs_code_is_not_loaded(checkpoint, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"item_embedding.weight": print}, checkpoint / "code.pt")
    assert import_it(checkpoint, "--heads", "2", name="code.pt") == 1
    assert "more than weights" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b".", b"garbage", b"", b"\x80\x02."])
def test_a_file_of_garbage_is_not_imported(checkpoint, capsys, content):
    pytest.importorskip("torch")
    (checkpoint / "garbage.pt").write_bytes(content)
    assert import_it(checkpoint, "--heads", "2", name="garbage.pt") == 1
    assert "or is damaged; it was not loaded" in capsys.readouterr().err


def test_heads_that_do_not_divide_the_dimension_are_refused(checkpoint, capsys):
    assert import_it(checkpoint, "--heads", "3") == 1
    assert "do not divide" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq_norm.bias": None}, "has no seq_norm.bias"),
        ({"seq_norm.bias": np.zeros(15, np.float32)}, "seq_norm.bias has shape [15]"),
        ({"bert.weight": np.zeros(3, np.float32)}, "does not know: bert.weight"),
        ({"position_embedding.weight": np.full((12, 16), np.nan, np.float32)}, "not finite"),
        ({"output_embedding.weight": np.zeros((41, 16), np.float32)}, "output_embedding.weight has shape"),
    ],
)
def test_a_checkpoint_that_is_no_gsasrec_is_refused(checkpoint, capsys, changes, message):
    edit(checkpoint, **changes)
    assert import_it(checkpoint, "--heads", "2") == 1
    assert message in capsys.readouterr().err


def test_a_vocabulary_of_another_size_is_refused(checkpoint, capsys):
    (checkpoint / "movies.txt").write_text("1\n2\n3\n")
    assert import_it(checkpoint, "--heads", "2") == 1
    assert "3 ids for 40 items" in capsys.readouterr().err


def test_the_int8_graph_is_judged_on_the_given_users(checkpoint):
    assert import_it(checkpoint, "--heads", "2") == 0
    (checkpoint / "in.txt").write_text("".join(" ".join(map(str, h)) + "\n" for h in histories(SHAPE)))
    (checkpoint / "out.txt").write_text("".join(f"{1 + n}\n" for n in range(SHAPE.maximum_length)))
    users = [str(checkpoint / "in.txt"), str(checkpoint / "out.txt")]
    assert main(["export", str(checkpoint / "run"), str(checkpoint / "b"), "--validate", *users]) == 0
    manifest = bundle.check(checkpoint / "b")
    measured = manifest["metrics"]["int8"]
    assert measured["users"] == SHAPE.maximum_length
    assert measured["kept"] == ("encoder.cpu.int8.onnx" in manifest["sha256"])


def version_of(folder) -> str:
    return bundle.read_manifest(folder)["version"]


def test_two_exports_never_have_the_same_version_unless_they_hold_the_same(checkpoint, monkeypatch):
    assert import_it(checkpoint, "--heads", "2") == 0
    run = str(checkpoint / "run")
    monkeypatch.setattr("time.gmtime", lambda: (2026, 11, 28, 19, 4, 2, 5, 332, 0))
    assert main(["export", run, "--output", str(checkpoint / "a")]) == 0
    assert main(["export", run, "--output", str(checkpoint / "b")]) == 0
    assert main(["export", run, "--output", str(checkpoint / "c"), "--tables", "f16"]) == 0
    assert version_of(checkpoint / "a").startswith("20261128T190402Z-")
    assert version_of(checkpoint / "a") == version_of(checkpoint / "b") != version_of(checkpoint / "c")
    monkeypatch.setattr("time.gmtime", lambda: (2026, 11, 28, 19, 4, 3, 5, 332, 0))
    assert main(["export", run, "--output", str(checkpoint / "d")]) == 0
    assert version_of(checkpoint / "d") not in {version_of(checkpoint / name) for name in "abc"}


def test_a_version_that_is_named_is_kept(checkpoint, capsys):
    assert import_it(checkpoint, "--heads", "2") == 0
    named = ["--output", str(checkpoint / "a"), "--name", "mine", "--version", "7"]
    assert main(["export", str(checkpoint / "run"), *named]) == 0
    assert version_of(checkpoint / "a") == "7"
    assert "mine@7" in capsys.readouterr().out


def test_random_bundles_of_one_seed_and_two_shapes_have_two_versions(tmp_path):
    sizes = ["--items=50", "--dimension=8", "--maximum-length=6", "--heads=2", "--blocks=1"]
    assert main(["random", str(tmp_path / "a"), *sizes]) == 0
    assert main(["random", str(tmp_path / "b"), *sizes]) == 0
    assert main(["random", str(tmp_path / "c"), *sizes, "--blocks=2"]) == 0
    assert version_of(tmp_path / "a") == version_of(tmp_path / "b") != version_of(tmp_path / "c")


def test_the_bundle_of_an_export_is_named_by_output_or_by_place_and_once(checkpoint, capsys):
    assert import_it(checkpoint, "--heads", "2") == 0
    run, first, second = (str(checkpoint / name) for name in ("run", "a", "b"))
    assert main(["export", run, "--output", first]) == 0
    assert main(["export", run, second]) == 0
    assert bundle.check(checkpoint / "a")["items"] == bundle.check(checkpoint / "b")["items"]
    assert main(["export", run]) == 2
    assert main(["export", run, first, "--output", second]) == 2
    assert "export RUN --output BUNDLE" in capsys.readouterr().err


@pytest.fixture
def sizes() -> list[str]:
    """The options of a small random bundle."""
    return ["--items=50", "--dimension=8", "--maximum-length=6", "--heads=2", "--blocks=1"]


@pytest.mark.parametrize("command", ["export", "random"])
def test_overwriting_replaces_a_bundle_and_nothing_else(checkpoint, capsys, sizes, command):
    assert import_it(checkpoint, "--heads", "2") == 0
    options = sizes if command == "random" else [str(checkpoint / "run"), "--output"]

    def write(folder) -> int:
        return main([command, *options, str(folder), "--overwrite"])

    (checkpoint / "own").mkdir()
    (checkpoint / "own" / "precious.txt").write_text("mine")
    for folder in (checkpoint / "own", checkpoint / "run", checkpoint, checkpoint / "movies.txt"):
        assert write(folder) == 1
        assert "choose another place" in capsys.readouterr().err
    assert (checkpoint / "own" / "precious.txt").read_text() == "mine"
    assert runs.read(checkpoint / "run").weights.shape == SHAPE
    (checkpoint / "bundle").mkdir()
    assert write(checkpoint / "bundle") == 0
    assert write(checkpoint / "bundle") == 0


def test_a_bundle_in_a_run_folder_never_replaces_the_run(checkpoint, capsys):
    assert import_it(checkpoint, "--heads", "2") == 0
    run = checkpoint / "run"
    (run / "bundle.json").write_text("{}")
    assert main(["export", str(run), "--output", str(run), "--overwrite"]) == 1
    assert "holds the run" in capsys.readouterr().err


def test_an_import_overwrites_a_run_and_nothing_else(checkpoint, capsys):
    (checkpoint / "run").mkdir()
    (checkpoint / "run" / "precious.txt").write_text("mine")
    assert import_it(checkpoint, "--heads", "2", "--overwrite") == 1
    assert "has no config.json" in capsys.readouterr().err
    (checkpoint / "run" / "precious.txt").unlink()
    assert import_it(checkpoint, "--heads", "2", "--overwrite") == 0
    assert import_it(checkpoint, "--heads", "2", "--overwrite") == 0


def test_inspect_reports_operators_and_draws_every_block(tiny, capsys):
    assert main(["inspect", str(tiny)]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("─ block0 ─", "─ block1 ─", "Attention 1", "[200, 16]"))
    assert 'native   {"bf16": {"tolerance": ' in shown
    assert main(["inspect", str(tiny), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["graphs"]["encoder.cpu.onnx"]["operators"]["Attention"] == 1


def test_inspect_of_a_wrong_bundle_is_an_error(tiny, capsys):
    (tiny / "encoder.cpu.onnx").write_bytes(b"no graph")
    assert main(["inspect", str(tiny)]) == 1
    assert "sha256" in capsys.readouterr().err


def test_bench_verifies_and_measures_the_batched_graphs(small, capsys, monkeypatch):
    folder, _ = small
    monkeypatch.setattr("marquee_onnx.bench_batched.SHAPES", ((2, 5), (3, 200)))
    assert main(["bench", str(folder), "--batched", "cpu", "--seconds", "0.01"]) == 0
    shown = capsys.readouterr().out
    overlap = float(shown.split("overlap ")[1].split()[0])
    assert overlap > 0.98
    assert "| 3 x 200 |" in shown


@pytest.mark.parametrize("positions", POSITIONS)
def test_bench_prints_a_table_of_all_variants(capsys, positions):
    sizes = ["--items=50", "--dimension=8", "--maximum-length=6", "--heads=2", "--blocks=2"]
    assert main(["bench", *sizes, "--positions", positions, "--seconds", "0.01"]) == 0
    assert "| length | naive | matrix-keys | fp32 | int8 |" in capsys.readouterr().out
