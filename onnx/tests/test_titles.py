"""A bundle keeps hashes of the titles that it was trained on, which say whose movies its ids mean."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

from marquee_onnx import bundle, random_bundle, runs, titles
from marquee_onnx.errors import BundleError

ONNX = Path(__file__).parent.parent
SAMPLE, BUNDLED = ONNX / "data" / "ml-latest-small", ONNX / "bundles" / "movielens-small"


def small_model(hashes: np.ndarray | None) -> bundle.Model:
    vocabulary = random_bundle.gapped_vocabulary(SMALL.items)
    weights = random_bundle.random_weights(SMALL, seed=5)
    return bundle.Model("small", "1", weights, vocabulary, {"data": "none", "terms": "none"}, {}, hashes)


def test_titles_are_hashed_in_the_order_of_the_items_and_unknown_ones_are_0():
    found = titles.of_data(SAMPLE, np.array([2, 999_999_999, 1], np.uint32))
    assert found.tolist() == [zlib.crc32(b"Jumanji (1995)"), 0, zlib.crc32(b"Toy Story (1995)")]


def test_data_without_a_list_of_movies_has_no_titles(tmp_path):
    assert titles.of_data(tmp_path, np.array([1], np.uint32)) is None


def test_the_bundled_model_knows_the_titles_of_the_sample():
    kept = titles.read(BUNDLED)
    assert np.array_equal(kept, titles.of_data(SAMPLE, bundle.read_vocabulary(BUNDLED)))
    assert bundle.read_manifest(BUNDLED)["titles"] == titles.FILE


def test_titles_go_from_a_run_into_its_bundle_and_are_checked_with_it(tmp_path):
    model = small_model(np.arange(SMALL.items, dtype=np.uint32))
    runs.write(tmp_path / "run", runs.Run(model.weights, model.vocabulary, {}, {}, model.titles))
    kept = runs.read(tmp_path / "run").titles
    bundle.write(tmp_path / "bundle", small_model(kept), bundle.STANDARD_GRAPHS[:1])
    assert np.array_equal(titles.read(tmp_path / "bundle"), model.titles)
    (tmp_path / "bundle" / titles.FILE).write_bytes(b"\0" * 4)
    with pytest.raises(BundleError, match=r"titles\.u32 has sha256"):
        bundle.check(tmp_path / "bundle")


def test_a_hash_too_few_is_refused():
    with pytest.raises(BundleError, match="titles"):
        small_model(np.zeros(SMALL.items - 1, np.uint32))
