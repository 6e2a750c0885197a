"""A list of trainings, their comparison and their page, from run folders as `train` leaves them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from marquee_onnx import run_log
from marquee_onnx.__main__ import main
from marquee_onnx.comparison import Comparison

GAIN = 1 / np.log2(3)  # of a target in the second place


@pytest.fixture
def folder(tmp_path):
    """Two seeds of one recipe, one run of another, one that goes on, and a folder that is no run."""
    run_of(tmp_path / "runs" / "plain-0", [0, 1, 50, 50], seed=0)
    run_of(tmp_path / "runs" / "plain-1", [1, 1, 50, 50], seed=1)
    run_of(tmp_path / "runs" / "wide", [0, 0, 0, 50], dimension=128)
    run_of(tmp_path / "runs" / "going", None, epochs=5)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "config.json").write_text('{"name": "of something else"}')
    return tmp_path / "runs"


def run_of(folder, ranks, users="u", **settings):
    folder.mkdir(parents=True)
    begun = {
        "dimension": 64,
        "maximum_length": 200,
        "epochs": 2,
        "seed": 0,
        "split": "leave-one-out",
        **settings,
    }
    (folder / "settings.json").write_text(json.dumps(begun))
    for epoch in (1, 2):
        run_log.add(folder, {"epoch": epoch, "loss": 5.0 / epoch, "seconds": 90.0})
    if ranks is None:
        return
    figures = {"ndcg@10": 0.25, "recall@10": 0.5}
    run_log.add(folder, {"epoch": 3, "loss": 1.0, "seconds": 60.0, **figures})
    training = {"data": "films & <songs>", "interactions": 9, "judged_users": 4, "epochs_run": 3}
    config = {"architecture": "gsasrec", "training": training, "metrics": figures}
    (folder / "config.json").write_text(json.dumps(config))
    named = {"the new model": np.array(ranks), "popularity": np.array([50, 50, 50, 0])}
    Comparison(named, users, np.array([0, 0, 90, 90])).write(folder)


def answer(capsys, *arguments):
    assert main(["runs", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_list_has_every_run_with_its_figures(folder, capsys):
    listed = answer(capsys, "list", folder).splitlines()
    assert [line.split(" | ")[0].lstrip("| ") for line in listed[2:]] == [
        "going",
        "plain-0",
        "plain-1",
        "wide",
    ]
    going, plain, *_ = listed[2:]
    assert re.search(r"\| 2 of 5 \| 3 min \|  \|  \|  \|$", going)
    assert plain.endswith("| 3 | 4 min | 4 | 0.2500 | 0.5000 |")
    found = json.loads(answer(capsys, "list", folder, "--json"))
    assert [run["ended"] for run in found] == [False, True, True, True]
    assert found[1]["figures"] == {"ndcg@10": 0.25, "recall@10": 0.5}


def test_the_list_is_that_of_runs_unless_told_otherwise(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert answer(capsys, "list") == answer(capsys, "list", "runs")
    empty = folder / "notes"
    assert answer(capsys, "list", empty) == f"no runs in {empty}; train with --output {empty}/NAME\n"


def test_runs_are_compared_paired_by_user(folder, capsys):
    arguments = ("compare", folder / "plain-0", folder / "wide", "--json")
    plain, wide = json.loads(answer(capsys, *arguments))
    away = np.array([0, 1 - GAIN, 1, 0])
    assert plain["differences"]["nDCG@10"] == {"value": 0.0, "error": 0.0}
    assert wide["differences"]["nDCG@10"]["value"] == pytest.approx(away.mean())
    assert wide["differences"]["nDCG@10"]["error"] == pytest.approx(away.std(ddof=1) / 2)
    assert wide["figures"]["nDCG@10, same second"]["value"] == 1.0
    assert wide["figures"]["nDCG@10, longer"]["value"] == 0.5


def test_seeds_of_one_recipe_count_as_one_run(folder, capsys):
    runs = [folder / name for name in ("plain-0", "plain-1", "wide")]
    plain, wide = json.loads(answer(capsys, "compare", *runs, "--json"))
    assert [len(plain["runs"]), len(wide["runs"])] == [2, 1]
    gains = np.mean([[1, GAIN, 0, 0], [GAIN, GAIN, 0, 0]], axis=0)
    away = np.array([1, 1, 1, 0]) - gains
    assert wide["differences"]["nDCG@10"]["value"] == pytest.approx(away.mean())
    assert wide["differences"]["nDCG@10"]["error"] == pytest.approx(away.std(ddof=1) / 2)


def test_the_comparison_says_what_the_runs_were_begun_with_differently(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    said = answer(capsys, "compare", "plain-0", "wide")
    assert "| dimension | 64 | 128 |" in said
    assert "maximum_length" not in said
    assert "| plain-0 | 1 | 0.4077 +- " in said


def test_runs_of_different_users_are_not_compared(folder, capsys):
    run_of(folder / "other", [0, 0, 0, 0], users="v")
    assert main(["runs", "compare", str(folder / "wide"), str(folder / "other")]) == 1
    assert "were judged on different users" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "complaint"), [("going", "has no ranks.safetensors"), ("notes", "is no run")]
)
def test_what_cannot_be_compared_is_said_in_one_sentence(folder, capsys, name, complaint):
    assert main(["runs", "compare", str(folder / "wide"), str(folder / name)]) == 1
    assert complaint in capsys.readouterr().err


class Page(HTMLParser):
    """Tags, what they refer to, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_no_other_file_and_has_the_curves_of_every_run(folder, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    runs = [folder / name for name in ("plain-0", "wide", "going")]
    assert answer(capsys, "show", *runs, "--output", page) == f"wrote {page}\n"
    found = Page(page.read_text())
    assert found.tags.count("svg") == 1
    assert all(reference.startswith("#") for reference in found.references)
    assert "script" not in found.tags
    for words in (
        "films & <songs>",
        "training loss",
        "validation nDCG@10",
        "wide beside others",
        "Not compared",
    ):
        assert words in found.text
    assert found.text.count("going") >= 3


def test_a_page_compares_runs_that_have_ended_and_is_the_same_again(folder, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        answer(capsys, "show", folder / "plain-0", folder / "wide", "--output", page)
    assert pages[0].read_text() == pages[1].read_text()
    assert "Compared, paired by user" in pages[0].read_text()
