# ruff: noqa: D103
"""The protos may grow and not change: what `buf breaking` says of an edit to them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture
def protos(tmp_path):
    """A copy of the protos."""
    shutil.copy(REPOSITORY / "buf.yaml", tmp_path)
    for package in ("marquee", "google"):
        shutil.copytree(REPOSITORY / "proto" / package, tmp_path / "proto" / package)
    return tmp_path


def edit(protos, file, before, after):
    """Replaces a text that the file has."""
    path = protos / "proto/marquee/v1" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def complaints(protos):
    """What breaks callers of the released protos; empty if nothing does."""
    (released,) = (REPOSITORY / "proto/released").glob("*.binpb")
    command = [BUF, "breaking", "--against", released]
    found = subprocess.run(command, cwd=protos, capture_output=True, text=True)
    assert found.returncode in (0, 100), found.stderr
    return found.stdout


def test_the_protos_hold_to_what_was_released(protos):
    assert complaints(protos) == ""


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("user.proto", "  bool created = 2;\n", "", id="a field is taken away"),
        pytest.param("user.proto", "bool created = 2", "bool created = 3", id="a number is changed"),
        pytest.param("user.proto", "bool created = 2", "bool is_new = 2", id="a name is changed"),
        pytest.param("catalog.proto", "uint32 movies = 2", "string movies = 2", id="a type is changed"),
        pytest.param("catalog.proto", "rpc ListGenres", "rpc Genres", id="a call is renamed"),
        pytest.param("common.proto", "marquee/v1;marqueev1", "example.com/v1", id="a package is changed"),
    ],
)
def test_an_edit_that_breaks_callers_is_refused(protos, file, before, after):
    edit(protos, file, before, after)
    assert complaints(protos) != ""


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("user.proto", "bool created = 2;", "bool created = 2; string note = 3;", id="a field"),
        pytest.param("user.proto", "  oneof user {", "  oneof user { string user_name = 100;", id="a key"),
        pytest.param(
            "catalog.proto",
            "service CatalogService {",
            "service CatalogService { rpc CountGenres(ListGenresRequest) returns (ListGenresResponse);",
            id="a call",
        ),
    ],
)
def test_what_is_added_breaks_nobody(protos, file, before, after):
    edit(protos, file, before, after)
    assert complaints(protos) == ""
