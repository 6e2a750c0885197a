"""A card says what the model is, and the terms of its own data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marquee_onnx import random_bundle, runs
from marquee_onnx.__main__ import main
from marquee_onnx.weights import Shape

ONNX = Path(__file__).parent.parent
BUNDLED = ONNX / "bundles" / "movielens-small"
SAMPLE = ONNX / "data" / "ml-latest-small"
SHAPE = Shape(items=3, dimension=8, maximum_length=4, heads=1, blocks=1)
SETTINGS = {"loss": "softmax", "negatives": 0, "negatives_for": "batch", "exclude": "past"}


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level; under "" the title."""
    title, *parts = text.split("\n## ")
    return {"": title, **{part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}}


def card_of(folder: Path, positions: str = "right", **training: object) -> dict[str, str]:
    """The card of a random run with this training."""
    run, movies = folder / "run", folder / "movies.csv"
    weights = random_bundle.random_weights(replace(SHAPE, positions=positions), seed=0)
    figures = {"ndcg@10": 0.25, "mrr": float("nan")}
    runs.write(run, runs.Run(weights, np.array([1, 2, 3], np.uint32), training, figures))
    movies.write_text("movieId,title,genres\n1,a (1990),Drama\n2,b (1991),War\n3,c,War\n")
    assert main(["card", str(run), "--items", str(movies), "--output", str(folder / "CARD.md")]) == 0
    return sections((folder / "CARD.md").read_text())


def test_the_bundled_card_is_what_card_writes_of_the_bundle(tmp_path):
    output, limits = tmp_path / "MODEL_CARD.md", ONNX / "movielens-small.limits.md"
    words = ["card", str(BUNDLED), "--items", str(SAMPLE), "--limits", str(limits), "--output", str(output)]
    assert main(words) == 0
    written, shipped = (sections(file.read_text()) for file in (output, BUNDLED / "MODEL_CARD.md"))
    shipped_figures, figures = shipped.pop("Figures").splitlines(), written.pop("Figures").splitlines()
    assert written == shipped
    assert [line for line in figures if line not in shipped_figures] == []


def test_the_bundled_card_names_its_loss_and_says_why():
    card = sections((BUNDLED / "MODEL_CARD.md").read_text())
    settings = json.loads((BUNDLED / "bundle.json").read_text())["training"]["settings"]
    assert (settings["loss"], settings["exclude"]) == ("softmax", "past")
    assert "gSASRec's network, trained with a masked softmax" in card[""]
    assert "without the items that the user had seen before" in card["Network and loss"]
    assert "Why:" in card["Network and loss"]


def test_a_card_says_what_is_not_as_the_paper_has_it(tmp_path):
    plain = card_of(tmp_path / "plain", data="own", terms="own", settings=SETTINGS)["Network and loss"]
    assert "bias" not in plain
    assert "title words" not in plain
    assert "began with" not in plain
    settings = SETTINGS | {"content_prior": 30.0}
    training = {"data": "own", "terms": "own", "settings": settings, "warm_start": "mine@3"}
    other = card_of(tmp_path / "other", "bias", **training)["Network and loss"]
    assert "no learnt positions" in other
    assert "counts as 30 events" in other
    assert "began with the weights of mine@3" in other


def test_the_bundled_card_says_what_each_precision_loses():
    rows = sections((BUNDLED / "MODEL_CARD.md").read_text())["Precision"].splitlines()[-2:]
    figures = json.loads((BUNDLED / "bundle.json").read_text())["metrics"]
    for row, precision in zip(rows, ("int8", "bf16"), strict=True):
        assert row.startswith(f"| {precision}, ")
        assert f"| {figures[precision]['top-10 overlap']:.4f} | yes |" in row


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "own: gSASRec's network, trained with a masked softmax"),
        ({"exclude": "none"}, "own: gSASRec's network, trained with a softmax"),
        ({"loss": "gbce"}, "own: gSASRec"),
    ],
)
def test_a_model_is_called_gsasrec_only_with_the_loss_of_gsasrec(tmp_path, changes, title):
    card = card_of(tmp_path, data="own", terms="own", settings=SETTINGS | changes)
    assert card[""].splitlines()[0] == f"# {title}"


def test_a_card_of_own_data_has_their_terms_and_nothing_of_movielens(tmp_path):
    card = card_of(tmp_path, data="own", terms="ours alone", settings=SETTINGS, judged_users=7)
    assert "Terms: ours alone." in card["Data and terms"]
    assert "of each of 7 users" in card["Figures"]
    assert "| this model | 0.2500 |" in card["Figures"]
    assert not {"Samples", "Precision"} & set(card)
    assert "Harper" not in "".join(card.values())
    assert "ML-1M" not in card["Limits"]


@pytest.mark.parametrize(
    ("training", "complaint"),
    [
        ({"data": 5}, "holds data 5"),
        ({"terms": ["a"]}, "holds terms ['a']"),
        ({"split": []}, "holds split []"),
        ({"users": "many", "interactions": 1}, "holds users 'many'"),
        ({"users": 1}, "says users without interactions"),
        ({"judged_users": True}, "holds judged_users True"),
        ({"settings": [1]}, "holds settings [1]"),
        ({"settings": {"loss": ["softmax"]}}, "holds loss ['softmax']"),
        ({"settings": {"loss": "softmax"}}, "says a loss without"),
        ({"settings": SETTINGS | {"exclude": "some"}}, "says a loss without"),
    ],
)
def test_a_training_of_another_kind_is_one_sentence(tmp_path, capsys, training, complaint):
    with pytest.raises(AssertionError):
        card_of(tmp_path, **({"data": "own", "terms": "own"} | training))
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert f"config.json {complaint}" in said


@pytest.mark.parametrize("value", ['"high"', "[0.1]", "{}", "true"])
def test_a_report_of_another_kind_is_one_sentence(tmp_path, capsys, value):
    (tmp_path / "other.json").write_text(f'{{"ndcg@10": {value}}}')
    words = ["card", str(BUNDLED), "--items", str(SAMPLE), "--compare", str(tmp_path)]
    assert main([*words, "--output", str(tmp_path / "CARD.md")]) == 1
    assert "other.json holds ndcg@10" in capsys.readouterr().err


def test_a_card_of_an_imported_checkpoint_says_what_is_not_stated(tmp_path):
    card = card_of(tmp_path, data="not stated", terms="not stated", imported_from="a.pt")
    assert card["Network and loss"].endswith("What it was trained with is not stated.")
    assert "Settings" not in card
