"""A wrong bundle is refused, and the message says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import TINY, random_bundle_of

from marquee_onnx import bundle, tables
from marquee_onnx.__main__ import main
from marquee_onnx.errors import BundleError
from marquee_onnx.weights import Shape

TINY_SHAPE = [
    "--items",
    "200",
    "--dimension",
    "16",
    "--maximum-length",
    "20",
    "--heads",
    "2",
    "--blocks",
    "2",
    "--seed",
    "1",
]


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / bundle.MANIFEST
    path.write_text(bundle.sealed(json.loads(path.read_text()) | changes))


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rehash(folder: Path, file: str) -> None:
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    edit_manifest(folder, sha256=manifest["sha256"] | {file: bundle.sha256(folder / file)})


def test_the_committed_fixture_is_right():
    assert bundle.check(TINY)["items"] == 200


@pytest.mark.parametrize("file", ["tables.safetensors", "vocabulary.u32", "encoder.cpu.onnx"])
def test_a_flipped_byte_is_refused(tiny, file):
    flip_a_byte(tiny / file)
    with pytest.raises(BundleError, match=f"{file} has sha256"):
        bundle.check(tiny)


def test_a_changed_byte_of_the_manifest_is_refused(tiny):
    path = tiny / bundle.MANIFEST
    path.write_text(path.read_text().replace('"heads": 2', '"heads": 4'))
    with pytest.raises(BundleError, match="changed after it was sealed"):
        bundle.check(tiny)


def test_a_missing_file_is_refused(tiny):
    (tiny / "vocabulary.u32").unlink()
    with pytest.raises(BundleError, match=r"vocabulary\.u32 is missing"):
        bundle.check(tiny)


def test_an_unlisted_file_is_refused(tiny):
    (tiny / "extra.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra\.onnx is not listed"):
        bundle.check(tiny)


def test_a_vocabulary_with_an_id_twice_is_refused(tiny):
    ids = bundle.read_vocabulary(tiny)
    ids[3] = ids[4]
    (tiny / "vocabulary.u32").write_bytes(ids.astype("<u4").tobytes())
    rehash(tiny, "vocabulary.u32")
    with pytest.raises(BundleError, match="an id twice"):
        bundle.check(tiny)


def test_tables_of_other_values_fail_the_probe(tiny):
    flip = bytearray((tiny / "tables.safetensors").read_bytes())
    position = tables.locate(tiny / "tables.safetensors")["position_embedding"]
    flip[position.offset + 8 * 64 : position.offset + position.length] = bytes(position.length - 8 * 64)
    (tiny / "tables.safetensors").write_bytes(flip)
    rehash(tiny, "tables.safetensors")
    with pytest.raises(BundleError, match="away from the probe"):
        bundle.check(tiny)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "a format other than 1 and 2"),
        ({"format": 2}, "positions that its format does not have"),
        ({"items": 199}, "item_embedding is"),
        ({"architecture": "bert4rec"}, "only gsasrec"),
        ({"sha256": {}}, "has no sha256"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tiny, changes, message):
    edit_manifest(tiny, **changes)
    with pytest.raises(BundleError, match=message):
        bundle.check(tiny)


def test_a_bundle_with_a_bias_by_distance_is_of_the_second_format_and_has_no_table_of_positions(tmp_path):
    shape = Shape(items=40, dimension=16, maximum_length=12, heads=2, blocks=2, positions="bias")
    folder, _ = random_bundle_of(shape, tmp_path / "bias", "f32")
    manifest = bundle.check(folder)
    assert (manifest["format"], manifest["positions"]) == (2, "bias")
    assert bundle.shape_of(manifest) == shape
    assert set(tables.locate(folder / "tables.safetensors")) == {"item_embedding", "output_embedding"}


@pytest.mark.parametrize("changes", [{"format": 1}, {"positions": "right"}, {"positions": "rotary"}])
def test_positions_that_a_format_does_not_have_are_refused(tmp_path, changes):
    shape = Shape(items=40, dimension=16, maximum_length=12, heads=2, blocks=2, positions="bias")
    folder, _ = random_bundle_of(shape, tmp_path / "bias", "f32")
    edit_manifest(folder, **changes)
    with pytest.raises(BundleError, match="positions that its format does not have"):
        bundle.check(folder)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        bundle.check(tmp_path)


def test_tables_begin_at_a_multiple_of_64_bytes():
    assert all(table.offset % 64 == 0 for table in tables.locate(TINY / "tables.safetensors").values())


def test_the_safetensors_library_reads_the_tables():
    from safetensors.numpy import load_file

    loaded, ours = load_file(TINY / "tables.safetensors"), tables.read(TINY / "tables.safetensors")
    assert all((loaded[name] == ours[name]).all() for name in tables.NAMES)


def test_the_random_command_writes_the_committed_tables_again(tmp_path):
    written = tmp_path / "again"
    assert main(["random", str(written), *TINY_SHAPE]) == 0
    assert (written / tables.FILE).read_bytes() == (TINY / tables.FILE).read_bytes()


def test_tables_left_out_are_restored_from_the_seed(tmp_path):
    written = tmp_path / "light"
    assert main(["random", str(written), *TINY_SHAPE, "--without-tables"]) == 0
    with pytest.raises(BundleError, match="restore-tables"):
        bundle.check(written)
    assert main(["random", "--restore-tables", str(written)]) == 0
    assert bundle.check(written)["items"] == 200


def test_an_existing_bundle_is_not_overwritten_unasked(tiny):
    assert main(["random", str(tiny), *TINY_SHAPE]) == 1
    assert main(["random", str(tiny), *TINY_SHAPE, "--overwrite"]) == 0
