"""Models beside each other: the same users, differences paired, ranks that outlive the training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_judging import ratings, split  # noqa: F401

from marquee_onnx import comparison, metrics
from marquee_onnx.__main__ import main
from marquee_onnx.baselines import ItemKnn
from marquee_onnx.comparison import Comparison
from marquee_onnx.data import Histories
from marquee_onnx.errors import DataError
from marquee_onnx.judged import Judged


def two_models(gaps=None):
    return Comparison({"a": np.array([0, 1, 50]), "b": np.array([0, 50, 50])}, "u", gaps)


def test_differences_are_paired_by_user():
    first, second = comparison.as_object(two_models()).values()
    gain = 1 / np.log2(3)
    assert first["difference"] == {"value": 0.0, "error": 0.0}
    assert second["difference"]["value"] == pytest.approx(-gain / 3)
    assert second["difference"]["error"] == pytest.approx(np.std([0, gain, 0], ddof=1) / 3**0.5)
    assert second["ndcg@10"]["value"] == pytest.approx(1 / 3)


def test_gaps_are_columns_of_their_own_with_their_users():
    head, first, second = comparison.lines_of(two_models(np.array([0, 0, 7200])))
    assert head.split("  ")[-1] == "difference"
    assert "same second (2)" in head
    assert "longer (1)" in head
    assert "same minute" not in head
    assert first.split()[:4] == ["a", "0.5436", "+-", "0.2920"]
    assert second.endswith("-0.2103 +- 0.2103")


def test_ranks_are_read_as_they_were_written_and_in_their_order(tmp_path):
    written = Comparison({name: np.arange(3) for name in ("the new model", "b", "a")}, "u", np.arange(3))
    written.write(tmp_path)
    found = comparison.read(tmp_path)
    assert found is not None
    assert list(found.ranks) == ["the new model", "b", "a"]
    assert found.users == "u"
    np.testing.assert_array_equal(found.gaps, written.gaps)
    assert comparison.read(tmp_path / "elsewhere") is None


def test_damaged_ranks_are_one_sentence(tmp_path):
    (tmp_path / comparison.FILE).write_bytes(b"no ranks")
    with pytest.raises(DataError, match="is damaged"):
        comparison.read(tmp_path)


def test_who_is_judged_is_told_by_movies_and_not_by_their_numbers():
    inputs, targets = Histories.from_sequences([[1, 2], [2]]), np.array([3, 1], np.int32)
    judged = Judged(inputs, targets, np.array([10, 20, 30], np.uint32))
    other = judged.renumbered(np.array([30, 20, 10], np.uint32))
    assert not np.array_equal(other.targets, judged.targets)
    assert comparison.digest_of(other) == comparison.digest_of(judged)
    changed = Judged(inputs, targets[::-1], judged.vocabulary)
    assert comparison.digest_of(changed) != comparison.digest_of(judged)


def test_item_knn_finds_what_the_same_users_have():
    train = Histories.from_sequences([[1, 2, 3], [1, 2], [2, 1], [3, 4], [4, 3]])
    knn = ItemKnn(train, 4, neighbours=2, shrinkage=1.0)
    scores = knn.scores([np.array([1]), np.array([4])])
    assert scores[0].tolist() == pytest.approx([0, 3 / 4, 1 / 4, 0])
    assert metrics.top_items(scores, [np.array([1]), np.array([4])], 1)[:, 0].tolist() == [2, 3]


def test_item_knn_keeps_the_nearest_alone():
    train = Histories.from_sequences([[1, 2, 3], [1, 2], [2, 1], [3, 4], [4, 3]])
    assert np.count_nonzero(ItemKnn(train, 4, neighbours=1).scores([np.array([1])])) == 1


def test_a_catalogue_too_large_for_a_table_of_pairs_is_judged_by_popularity_alone():
    assert comparison.baselines_for(20_001) == ["popularity"]
    with pytest.raises(DataError, match="20001 are more than 20000"):
        ItemKnn(Histories.from_sequences([[1, 2]]), 20_001)


def test_evaluate_judges_others_beside(ratings, capsys):  # noqa: F811
    beside = ["--beside", "item-knn", "--beside", "co-occurrence"]
    assert main(["evaluate", "popularity", "--data", str(ratings), *beside, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["beside"]) == ["popularity", "item-knn", "co-occurrence"]
    assert found["beside"]["popularity"]["ndcg@10"]["value"] == found["ndcg@10"]
    assert main(["evaluate", "popularity", "--data", str(ratings), *beside]) == 0
    assert "same second (1)" in capsys.readouterr().out.split("\n\n")[-1]


def test_a_split_by_time_is_judged_in_columns_of_gaps(ratings, capsys):  # noqa: F811
    options = ["--split", "global-time", "--train-fraction", "0.99", "--beside", "item-knn"]
    assert main(["evaluate", "popularity", "--data", str(ratings), *options]) == 0
    head, popularity, knn = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert "longer (1)" in head
    assert "same second" not in head
    assert popularity.startswith("popularity ")
    assert knn.startswith("item-knn ")
