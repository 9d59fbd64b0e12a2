"""What an export keeps, to go on from it without the run that made it."""

import shutil

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf import grow_model
from deepfm_tf.vocabulary import Vocabulary
from tests.catalogue import build
from tests.conftest import make_log, unchecked


def test_the_vocabulary_of_an_export_is_the_models(exported, vocabulary, log):
    loaded = Vocabulary.load(exported)

    assert loaded.schema == vocabulary.schema
    assert loaded.statistics == vocabulary.statistics
    expected = deepfm_tf.encode(log, vocabulary)
    for name, array in deepfm_tf.encode(log, loaded).items():
        np.testing.assert_array_equal(array, expected[name])


def test_the_model_of_an_export_goes_on_with_a_further_day(
    exported, model, vocabulary, odd_log, expected
):
    day = make_log(300, seed=5)
    day.loc[::3, "site"] = "new"
    loaded = Vocabulary.load(exported)
    later = loaded.extended(deepfm_tf.fit_vocabulary(day, loaded.schema))

    grown = grow_model(exported, later)

    packed = deepfm_tf.encode(odd_log, later)
    found = np.asarray(grown(packed, training=False)["probability"])[:, 0]
    before = np.asarray(
        model(deepfm_tf.encode(odd_log, vocabulary), training=False)[
            "probability"
        ]
    )[:, 0]
    assert "new" in later.values["site"]
    assert not grown.compiled
    np.testing.assert_array_equal(found, before)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_a_version_does_not_keep_is_told(exported, vocabulary, tmp_path):
    old = shutil.copytree(exported, tmp_path / "1")
    (old / "assets.extra" / "weights.npz").unlink()

    with pytest.raises(deepfm_tf.UserError, match=r"model \(assets.*Export"):
        grow_model(old, vocabulary)
    (old / "assets.extra" / "vocabulary.json").unlink()
    with pytest.raises(deepfm_tf.UserError, match="keeps its vocabulary"):
        grow_model(old, vocabulary)


def test_a_table_in_16_bits_comes_back_as_it_was_served(tmp_path):
    data = {"a": ["x", "x", "y", "y"], "y": [0, 1, 0, 1]}
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("a"),), "y")
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = build("LogisticRegression", vocabulary.schema)
    values = np.array([[0.1], [0.2], [0.3], [1 / 3]], "float32")
    model.embedding_layer.embeddings.assign(values)
    with unchecked():
        path = deepfm_tf.export_saved_model(
            model,
            vocabulary,
            tmp_path,
            table_dtype="bfloat16",
            warm_up_rows=[],
        )

    grown = grow_model(path, vocabulary)

    # The upper half of a float32, rounded to even.
    bits = values.view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    rounded = bits.astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(
        grown.embedding_layer.embeddings.numpy(), rounded
    )
    assert not np.array_equal(rounded, values)
