"""A bundle keeps the keys of its movies, by which a later training finds them again under other numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

from marquee_onnx import bundle, movie_keys, random_bundle, runs
from marquee_onnx.errors import BundleError, DataError

VOCABULARY = np.array([1, 1 << 30, (1 << 30) + 1], np.uint32)


def listed(folder: Path, text: str) -> Path:
    (folder / movie_keys.LISTED).write_text(text, encoding="utf-8")
    return folder


def test_keys_are_in_the_order_of_the_items_and_empty_where_there_is_none(tmp_path: Path) -> None:
    listed(tmp_path, 'movieId,movieKey\n1073741825,"pod, ü"\n1073741824,heat\n9,gone\n')
    assert movie_keys.of_data(tmp_path, VOCABULARY) == ["", "heat", "pod, ü"]


def test_data_without_keys_has_none(tmp_path: Path) -> None:
    assert movie_keys.of_data(tmp_path, VOCABULARY) is None
    assert movie_keys.of_data(listed(tmp_path, "movieId,movieKey\n"), VOCABULARY) is None
    with pytest.raises(DataError, match="movieKey"):
        movie_keys.of_data(listed(tmp_path, "id,key\n1,a\n"), VOCABULARY)


def test_keys_go_from_a_run_into_its_bundle_and_are_checked_with_it(tmp_path: Path) -> None:
    vocabulary = random_bundle.gapped_vocabulary(SMALL.items)
    weights = random_bundle.random_weights(SMALL, seed=5)
    model = bundle.Model("small", "1", weights, vocabulary, {"data": "none", "terms": "none"}, {})
    keys = ["", "pod/1 ", *(f"pod/{item}" for item in range(2, len(model.vocabulary)))]
    runs.write(tmp_path / "run", runs.Run(model.weights, model.vocabulary, {}, {}, keys=keys))
    kept = runs.read(tmp_path / "run").keys
    assert kept == keys
    bundle.write(tmp_path / "bundle", replace(model, keys=kept), bundle.STANDARD_GRAPHS[:1])
    assert movie_keys.read(tmp_path / "bundle") == keys
    assert bundle.read_manifest(tmp_path / "bundle")["keys"] == movie_keys.FILE
    (tmp_path / "bundle" / movie_keys.FILE).write_text("a\n")
    with pytest.raises(BundleError, match=r"keys\.txt has sha256"):
        bundle.check(tmp_path / "bundle")
    with pytest.raises(BundleError, match="twice"):
        replace(model, keys=["same"] * len(model.vocabulary))
    with pytest.raises(BundleError, match=r"1 keys for"):
        replace(model, keys=["one"])
