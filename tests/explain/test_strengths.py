"""Strengths of fields and pairs over a data set."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.explain import FieldStrengths
from tests.catalogue import MODELS
from tests.explain.small import (
    FIELDS,
    pair_terms,
    pooled,
    shared_model,
    small_rows,
)


@pytest.mark.parametrize("name", MODELS)
def test_strengths_are_mean_absolute_terms_whatever_the_batch(
    name, monkeypatch
):
    monkeypatch.setattr(
        "deepfm_tf.explain.model_terms.MAX_PAIR_FLOATS", 10 * 2 * 6
    )
    model, packed = shared_model(name), small_rows(33)
    data = tf.data.Dataset.from_tensor_slices((packed, np.ones((33, 1))))

    result = deepfm_tf.explain.field_strengths(model, data.batch(10))

    vectors, first_order = pooled(model, packed)
    assert result.fields == FIELDS
    assert result.num_rows == 33
    np.testing.assert_allclose(
        result.first_order, np.abs(first_order).mean(axis=0), atol=1e-6
    )
    expected = np.zeros((5, 5))
    if name in ("FM", "DeepFM"):
        upper = np.triu_indices(5, 1)
        expected[upper] = np.abs(pair_terms(vectors)).mean(axis=0)
    np.testing.assert_allclose(result.pairs, expected + expected.T, atol=1e-6)


def test_the_ranking_mixes_fields_and_pairs():
    pairs = np.array([[0, 0.2, 3], [0.2, 0, 0.1], [3, 0.1, 0]])
    strengths = FieldStrengths(("a", "b", "c"), np.array([1, 0, 0.5]), pairs, 9)

    ranking = strengths.ranking()

    assert [(t["term"], t["strength"]) for t in ranking] == [
        ("a × c", 3.0),
        ("a", 1.0),
        ("c", 0.5),
        ("a × b", 0.2),
        ("b × c", 0.1),
        ("b", 0.0),
    ]
    assert strengths.table(top=1).splitlines()[2:] == ["a × c  pair    3.0000"]


def test_a_linear_model_ranks_its_fields_alone():
    strengths = FieldStrengths(
        ("a", "b"), np.array([1, 2]), np.zeros((2, 2)), 1
    )

    assert [t["term"] for t in strengths.ranking()] == ["b", "a"]
