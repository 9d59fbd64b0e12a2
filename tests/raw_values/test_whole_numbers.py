"""Integers that pandas wrote as 7.0 are read as 7, in every reader alike."""

import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.files import text
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.vocabulary import Vocabulary


def fit(values, **arguments):
    field = deepfm_tf.CategoricalField("a", **arguments)
    schema = deepfm_tf.Schema((field,), "y")
    data = {"a": values, "y": [0, 1] + [0] * (len(values) - 2)}
    return deepfm_tf.fit_vocabulary(data, schema)


def graph_ids(vocabulary, tmp_path, **texts):
    """Ids that the exported look-up gives."""
    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")
    raw = {name: tf.constant(values) for name, values in texts.items()}
    return lookup(raw)["ids"].numpy().tolist()


def test_a_column_of_whole_numbers_reads_7_0_as_7(tmp_path):
    texts = ["7.0", "7", "12345678901.0", "-0.0", "", "-3"]
    vocabulary = fit(texts, min_count=1)

    assert vocabulary.values["a"].tolist() == ["7", "-3", "0", "12345678901"]
    asked = ["7.0", "7", "12345678901", "-3.0", "0.0", "7.00", "07", ""]
    expected = [2, 2, 5, 3, 4, 0, 0, 1]
    ids = deepfm_tf.encode({"a": asked}, vocabulary)["ids"][:, 0]
    assert ids.tolist() == expected
    assert graph_ids(vocabulary, tmp_path, a=asked) == [[i] for i in expected]


def test_counts_of_7_and_7_0_add_up():
    vocabulary = fit(["7.0", "7", "8", "9", "9.0"], min_count=2)

    assert vocabulary.values["a"].tolist() == ["7", "9"]
    assert vocabulary.statistics["a"]["distinct"] == 3


@pytest.mark.parametrize("odd", ["x", "007", "7.5", "+7", "7.00", " 7", "1e3"])
def test_one_other_text_keeps_7_0_and_7_apart(tmp_path, odd):
    vocabulary = fit(["7.0", "7.0", "7", odd], min_count=1)

    assert set(vocabulary.values["a"]) == {"7.0", "7", odd}
    ids = deepfm_tf.encode({"a": ["7.0", "7"]}, vocabulary)["ids"].tolist()
    assert ids[0] != ids[1]
    assert graph_ids(vocabulary, tmp_path, a=["7.0", "7"]) == ids


def test_whole_numbers_are_decided_over_all_partitions(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 8)
    path = tmp_path / "x.csv"
    path.write_text("a,y\n" + "7.0,1\n7,0\n" * 9 + "x,1\n")
    schema = deepfm_tf.Schema(
        (deepfm_tf.CategoricalField("a", min_count=1),), "y"
    )

    vocabulary = deepfm_tf.fit_vocabulary(path, schema)

    assert vocabulary.values["a"].tolist() == ["7", "7.0", "x"]


def test_values_left_out_of_training_do_not_decide(tmp_path):
    data = {"a": ["7.0", "7", "8", "x"], "y": ["1", "0", "0", "bad"]}
    schema = deepfm_tf.Schema(
        (deepfm_tf.CategoricalField("a", min_count=1),), "y"
    )

    vocabulary = deepfm_tf.fit_vocabulary(data, schema, on_error="skip")

    assert vocabulary.values["a"].tolist() == ["7", "8"]


def test_hashed_fields_read_7_0_as_7_too(tmp_path):
    whole = fit(["7.0", "8"], hash_buckets=1000)
    names = fit(["7.0", "x"], hash_buckets=1000)

    for vocabulary, count in ((whole, 1), (names, 2)):
        ids = deepfm_tf.encode({"a": ["7.0", "7"]}, vocabulary)["ids"].tolist()
        assert len(set(map(tuple, ids))) == count
        assert graph_ids(vocabulary, tmp_path, a=["7.0", "7"]) == ids


@pytest.mark.parametrize(("history", "is_whole"), [("7|8", True), ("x", False)])
def test_fields_that_share_a_vocabulary_decide_together(
    tmp_path, history, is_whole
):
    fields = (
        deepfm_tf.MultiValuedField("history", min_count=1, max_length=2),
        deepfm_tf.CategoricalField("last", share_with="history"),
    )
    data = {"history": [history, ""], "last": ["7.0", "8.0"], "y": [0, 1]}

    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema(fields, "y"))

    expected = {"7", "8"} if is_whole else {"x", "7.0", "8.0"}
    assert set(vocabulary.values["history"]) == expected
    asked = {"history": ["7.0|7", "8"], "last": ["8.0", "8"]}
    ids = deepfm_tf.encode(asked, vocabulary)["ids"].tolist()
    assert (ids[0][0] == ids[0][1]) == is_whole
    assert graph_ids(vocabulary, tmp_path, **asked) == ids


def test_a_mark_of_missing_is_one_with_a_point_too(tmp_path):
    field = deepfm_tf.CategoricalField("a", min_count=1)
    schema = deepfm_tf.Schema((field,), "y", missing_values=("-1",))

    vocabulary = deepfm_tf.fit_vocabulary(
        {"a": ["-1.0", "5.0", "-1"], "y": [0, 1, 0]}, schema
    )

    assert vocabulary.values["a"].tolist() == ["5"]
    ids = deepfm_tf.encode({"a": ["-1.0", "-1", "5"]}, vocabulary)["ids"]
    assert ids.tolist() == [[1], [1], [2]]
    assert graph_ids(vocabulary, tmp_path, a=["-1.0", "-1", "5"]) == [
        [1],
        [1],
        [2],
    ]


def test_saved_vocabularies_keep_the_rule_and_older_ones_have_none(tmp_path):
    vocabulary = fit(["7.0", "7", "8"], min_count=1)
    vocabulary.save(tmp_path)
    statistics = tmp_path / "statistics.json"

    loaded = Vocabulary.load(tmp_path)
    text_of = statistics.read_text().replace('"whole_numbers"', '"other"')
    statistics.write_text(text_of)
    (tmp_path / "digests.json").unlink()  # nor had they any
    older = Vocabulary.load(tmp_path)

    assert deepfm_tf.encode({"a": ["7.0"]}, loaded)["ids"].tolist() == [[2]]
    assert loaded.fingerprint() == vocabulary.fingerprint()
    assert deepfm_tf.encode({"a": ["7.0"]}, older)["ids"].tolist() == [[0]]
    assert older.fingerprint() != vocabulary.fingerprint()
