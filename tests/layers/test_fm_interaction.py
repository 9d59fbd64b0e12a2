"""Tests of the second-order FM term."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers import FMInteraction
from tests import reference


def draw(batch, num_fields=4, embedding_dim=3, dtype="float32"):
    generator = np.random.default_rng(9)
    shape = (batch, num_fields, embedding_dim)
    return generator.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("batch", [1, 5])
def test_second_order_term_matches_pairwise_sum(batch):
    embeddings = draw(batch)

    logits = FMInteraction()(embeddings)

    # float32 sums of twelve numbers: a few units in the last place.
    expected = reference.fm_interaction(embeddings)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_fields_are_not_flattened_before_the_square():
    v = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]])

    logits = FMInteraction()(v[np.newaxis])

    # <v1, v2> + <v1, v3> + <v2, v3>
    by_hand = (3.0 - 2.0) + (0.5 + 8.0) + (1.5 - 4.0)
    np.testing.assert_array_equal(logits, [[by_hand]])
    # Flattened, component 1 of a field also multiplies component 2.
    flattened = 0.5 * (np.sum(v) ** 2 - np.sum(v**2))
    assert flattened == 29.5
    assert logits.numpy().item() != flattened


@pytest.mark.parametrize("training", [False, True])
def test_gradient_matches_central_difference(training):
    embeddings = draw(3, dtype="float64")
    upstream = np.array([[0.5], [-2.0], [3.0]])
    layer = FMInteraction(dtype="float64")

    inputs = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs, training=training) * upstream)
    gradient = tape.gradient(loss, inputs)

    def loss_of(array):
        return np.sum(reference.fm_interaction(array) * upstream)

    # The loss is quadratic, the difference exact up to 1e-16 / epsilon.
    expected = reference.central_difference(loss_of, embeddings, 1e-4)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


def test_half_precision_inputs_are_summed_in_float32():
    # Squares of 100 and their sum are above the largest float16, 65504.
    v = np.array([[[100.0, 1.0], [300.0, 2.0], [-75.0, 4.0]]], "float16")

    logits = FMInteraction(dtype="mixed_float16")(v)

    # 30000 - 7500 - 22500 cancel, (2 + 4 + 8) is left.
    assert logits.dtype == "float16"
    np.testing.assert_array_equal(logits, [[14.0]])


def test_mixed_precision_does_not_round_float32_inputs():
    # float16 has 11 bits: 2049 would become 2048.
    v = np.array([[[2049.0, 1.0], [1.0, 1.0], [0.0, 0.0]]], "float32")

    logits = FMInteraction(dtype="mixed_float16")(v)

    # <(2049, 1), (1, 1)> is a float16; the rounded input would give 2048.
    np.testing.assert_array_equal(logits, [[2050.0]])


def test_compiled_value_and_gradient_equal_eager_ones():
    embeddings = tf.constant(draw(5))
    layer = FMInteraction()

    def value_and_gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            logits = layer(inputs)
        return logits, tape.gradient(logits, inputs)

    compiled = tf.function(
        value_and_gradient, jit_compile=True, autograph=False
    )(embeddings)

    # XLA may sum in another order.
    eager = value_and_gradient(embeddings)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled[1], eager[1], rtol=1e-5, atol=1e-6)
