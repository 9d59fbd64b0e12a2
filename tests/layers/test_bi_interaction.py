"""Tests of the bi-interaction pooling."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers import BiInteraction
from tests import reference


def draw(batch, num_fields=4, embedding_dim=3, dtype="float32"):
    generator = np.random.default_rng(7)
    shape = (batch, num_fields, embedding_dim)
    return generator.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("batch", [1, 5])
def test_output_matches_sum_of_elementwise_products(batch):
    embeddings = draw(batch)

    outputs = BiInteraction()(embeddings)

    # float32 sums of four fields: a few units in the last place.
    expected = reference.bi_interaction(embeddings)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_output_is_three_pairs_by_hand():
    embeddings = np.array([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]]])

    outputs = BiInteraction()(embeddings)

    by_hand = [[1 * 3 + 1 * 0.5 + 3 * 0.5, 2 * -1 + 2 * 4 + -1 * 4]]
    np.testing.assert_array_equal(outputs, by_hand)


@pytest.mark.parametrize("training", [False, True])
def test_gradient_matches_central_difference(training):
    embeddings = draw(3, dtype="float64")
    upstream = np.random.default_rng(8).normal(size=(3, 3))
    layer = BiInteraction(dtype="float64")

    inputs = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs, training=training) * upstream)
    gradient = tape.gradient(loss, inputs)

    def loss_of(array):
        return np.sum(reference.bi_interaction(array) * upstream)

    # The loss is quadratic, the difference exact up to 1e-16 / epsilon.
    expected = reference.central_difference(loss_of, embeddings, 1e-4)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


def test_half_precision_sums_in_float32():
    # (64 * 4)^2 = 65536 is above the largest float16, 65504.
    embeddings = np.full((1, 64, 2), 4.0, "float16")

    outputs = BiInteraction(dtype="mixed_float16")(embeddings)

    # 64 * 63 / 2 pairs of 4 * 4 = 32256; exact in float16.
    assert outputs.dtype == "float16"
    np.testing.assert_array_equal(outputs, [[32256.0, 32256.0]])


def test_mixed_precision_does_not_round_float32_inputs():
    # float16 has 11 bits: 2049 would become 2048.
    embeddings = np.array([[[2049.0], [1.0], [1.0]]], "float32")

    outputs = BiInteraction(dtype="mixed_float16")(embeddings)

    # 2049 + 2049 + 1 = 4099, in float16 4100; the rounded input gives 4096.
    np.testing.assert_array_equal(outputs, [[4100.0]])


def test_compiled_output_equals_eager_output():
    embeddings = tf.constant(draw(5))
    layer = BiInteraction()

    compiled = tf.function(layer, jit_compile=True, autograph=False)(embeddings)

    # XLA may sum in another order.
    np.testing.assert_allclose(compiled, layer(embeddings), rtol=1e-5)
