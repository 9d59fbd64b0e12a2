"""Taking a model apart, against loops over features and pairs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.explain.model_terms import ModelTerms
from tests.catalogue import MODELS
from tests.explain.small import (
    FIELDS,
    deep_part,
    logits,
    pair_terms,
    pooled,
    shared_model,
    small_model,
    small_rows,
)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_and_first_order_are_sums_over_the_features(name):
    model, packed = shared_model(name), small_rows(40)

    vectors, first_order = ModelTerms(model).pooled(packed)

    expected = pooled(model, packed)
    np.testing.assert_allclose(vectors, expected[0], atol=1e-6)
    np.testing.assert_allclose(first_order, expected[1], atol=1e-6)


@pytest.mark.parametrize("name", ["DeepFM", "WideAndDeep", "NFM"])
def test_pairs_and_pyramid_are_those_of_the_papers(name):
    model, packed = shared_model(name), small_rows(9)
    parts = ModelTerms(model)
    vectors, _ = pooled(model, packed)

    pairs = parts.pairs(tf.constant(vectors, "float32"))
    deep = parts.deep(tf.constant(vectors, "float32"))

    np.testing.assert_allclose(pairs, pair_terms(vectors), atol=1e-5)
    np.testing.assert_allclose(deep, deep_part(model, vectors), atol=1e-5)


def test_logits_are_those_of_the_model_even_where_probabilities_saturate():
    model, packed = small_model("FM"), small_rows(5)

    near = ModelTerms(model).logits(packed)
    expected = logits(model, packed)
    model.linear_term.bias.assign_add(100.0)
    far = ModelTerms(model).logits(packed)

    np.testing.assert_allclose(near, expected, atol=1e-5)
    np.testing.assert_allclose(far, expected + 100, atol=1e-4)


def test_fields_come_in_the_order_of_the_packed_inputs():
    assert ModelTerms(shared_model("FM")).fields == FIELDS


def test_a_batch_that_pairs_too_many_floats_is_cut(monkeypatch):
    monkeypatch.setattr(
        "deepfm_tf.explain.model_terms.MAX_PAIR_FLOATS", 10 * 2 * 4
    )
    parts = ModelTerms(shared_model("FM"))  # 10 pairs, k = 2

    batches = list(parts.batches([small_rows(9)]))

    assert [len(batch["ids"]) for batch in batches] == [4, 4, 1]


def test_a_model_from_elsewhere_is_refused():
    with pytest.raises(TypeError, match="`model` must be.*Received: Seq"):
        ModelTerms(keras.Sequential())


def test_a_data_set_without_rows_is_refused():
    parts = ModelTerms(shared_model("FM"))

    with pytest.raises(ValueError, match="has no rows"):
        list(parts.batches([small_rows(0)]))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_16_bits_declares_its_own_terms(name):
    with_numbers, packed = shared_model(name), small_rows(5)
    config = {
        **with_numbers.get_config(),
        "dtype": "mixed_bfloat16",
        "negative_sampling": 0.1,
    }
    policy = keras.config.dtype_policy()
    # As `set_precision` leaves it: for all layers that are made from now on.
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = type(with_numbers).from_config(config)
        model.set_weights(with_numbers.get_weights())
        vectors, _ = ModelTerms(model).pooled(packed)
    finally:
        keras.config.set_dtype_policy(policy)

    expected, _ = pooled(with_numbers, packed)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_terms_are_computed_on_the_cpu_wherever_the_model_is():
    # The second of two CPUs plays a GPU, whose products are rounded.
    with tf.device("CPU:1"):
        parts = ModelTerms(small_model("DeepFM"))

        here = parts.traced(parts.logits)(small_rows(2))

    assert parts.model.weights[0].value.device.endswith("CPU:1")
    assert here.device.endswith("CPU:0")
