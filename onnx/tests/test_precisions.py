"""What fewer bits lose is measured on the same users, written into the bundle, and decides what may serve."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from conftest import histories
from test_bundle import edit_manifest

from marquee_onnx import bundle, random_bundle, runs
from marquee_onnx.__main__ import main
from marquee_onnx.errors import BundleError
from marquee_onnx.precisions import ERROR, LIMITS, METRIC, OF_FP32, OVERLAP
from marquee_onnx.weights import Shape

SHAPE = Shape(items=40, dimension=16, maximum_length=12, heads=2, blocks=2)


def measured(loss: float, error: float = 0.0, overlap: float = 1.0) -> dict[str, float]:
    return {METRIC: 0.1 * (1 - loss), OF_FP32: 0.1, ERROR: error, OVERLAP: overlap}


@pytest.mark.parametrize(
    ("precision", "figures", "allowed"),
    [
        ("bf16", measured(0.0), True),
        ("bf16", measured(-0.01), True),
        ("bf16", measured(0.0019), True),
        ("bf16", measured(0.0021), False),
        ("bf16", measured(0.01, error=0.0005), True),  # one user's item of a few hundred
        ("bf16", measured(0.01, error=0.0003), False),
        ("bf16", measured(0.0, overlap=0.984), False),
        ("bf16", measured(0.001, error=math.nan), True),  # of one user
        ("bf16", measured(0.003, error=math.nan), False),
        (
            "bf16",
            {**measured(0.0), METRIC: 0.0, OF_FP32: 0.0},
            False,
        ),  # finds nothing
        ("int8", measured(0.0049), True),
        ("int8", measured(0.0051, error=1.0), False),
        ("int8", measured(0.0, overlap=0.9), True),
    ],
)
def test_a_precision_serves_where_what_it_loses_stays_within_its_limit(precision, figures, allowed):
    assert LIMITS[precision].allows(figures) is allowed


@pytest.fixture
def run(tmp_path):
    """A run folder of random weights, and users to judge it by."""
    weights = random_bundle.random_weights(SHAPE, seed=3)
    terms = {"data": "none", "terms": "none"}
    runs.write(tmp_path / "run", runs.Run(weights, random_bundle.gapped_vocabulary(SHAPE.items), terms, {}))
    (tmp_path / "in.txt").write_text("".join(" ".join(map(str, h)) + "\n" for h in histories(SHAPE)))
    (tmp_path / "out.txt").write_text("".join(f"{1 + n}\n" for n in range(SHAPE.maximum_length)))
    return tmp_path


def users(folder) -> list[str]:
    return ["--validate", str(folder / "in.txt"), str(folder / "out.txt")]


def export(folder, *options: str):
    assert main(["export", str(folder / "run"), str(folder / "bundle"), "--version=1", *options]) == 0
    return bundle.check(folder / "bundle")


def test_an_export_with_users_says_what_bf16_loses_as_it_does_of_int8(run):
    manifest = export(run, *users(run))
    figures = manifest["metrics"]["bf16"]
    assert set(figures) == set(manifest["metrics"]["int8"])
    assert figures["users"] == SHAPE.maximum_length
    assert figures[OF_FP32] == manifest["metrics"]["int8"][OF_FP32]
    assert manifest["native"]["bf16"]["kept"] == figures["kept"]
    assert not any("bf16" in file for file in manifest["sha256"])


def test_without_users_the_bundle_has_a_tolerance_of_bf16_and_no_judgement(run):
    manifest = export(run)
    assert manifest["native"] == {"bf16": {"tolerance": 0.01}}
    assert "bf16" not in manifest["metrics"]


def test_the_tolerance_is_twice_what_was_seen_and_no_less_than_a_hundredth():
    exact, near, far = (np.array([2.0, value], np.float32) for value in (1.0, 1.002, 1.1))
    assert bundle.rough_tolerance(near, exact) == 0.01
    assert bundle.rough_tolerance(far, exact) == pytest.approx(0.1)


def test_a_bundle_whose_bf16_is_too_far_away_is_refused(run):
    export(run)
    edit_manifest(run / "bundle", native={"bf16": {"tolerance": 1e-7}})
    with pytest.raises(BundleError, match=r"encoder\.cpu\.onnx in bf16 is .* away from the probe"):
        bundle.check(run / "bundle")


def test_judging_a_bundle_says_what_exporting_it_says_and_leaves_its_files(run):
    exported = export(run, *users(run))
    older = {**exported, "metrics": {"int8": exported["metrics"]["int8"]}}
    del older["native"]
    (run / "bundle" / bundle.MANIFEST).write_text(bundle.sealed(older))
    words = ["judge", str(run / "bundle"), "--output", str(run / "judged"), *users(run)]
    assert main(words) == 0
    judged = bundle.check(run / "judged")
    assert judged == exported
    assert list(judged) == list(exported)
    for file in judged["sha256"]:
        assert (run / "judged" / file).read_bytes() == (run / "bundle" / file).read_bytes()


def test_a_judged_bundle_takes_the_place_of_its_own_and_another_version_where_told_so(run):
    export(run)
    words = ["judge", str(run / "bundle"), "--output", str(run / "bundle"), *users(run)]
    assert main(words) == 1
    assert main([*words, "--overwrite", "--version", "two words"]) == 1
    assert main([*words, "--overwrite", "--version", "2"]) == 0
    assert bundle.check(run / "bundle")["version"] == "2"


def test_judging_needs_users(run, capsys):
    export(run)
    assert main(["judge", str(run / "bundle"), "--output", str(run / "judged")]) == 2
    assert "by whom" in capsys.readouterr().err


def test_evaluate_judges_a_bundle_in_bf16(run, capsys):
    export(run, *users(run))
    files = ["--input", str(run / "in.txt"), "--output", str(run / "out.txt"), "--json"]
    capsys.readouterr()
    assert main(["evaluate", str(run / "bundle"), *files, "--precision", "bf16"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report[METRIC] == bundle.read_manifest(run / "bundle")["metrics"]["bf16"][METRIC]
