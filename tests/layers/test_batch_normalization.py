"""Batch normalization against the paper's algorithm and Keras's layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers.batch_normalization import BatchNormalization

INPUTS = np.random.default_rng(0).normal(2, 3, (6, 4)).astype("float32")


def both(inputs, **arguments):
    """Our layer and Keras's with the same weights, built for the inputs."""
    layers = []
    for cls in (BatchNormalization, keras.layers.BatchNormalization):
        layer = cls(momentum=0.9, epsilon=1e-5, **arguments)
        layer.build((None, inputs.shape[1]))
        width = inputs.shape[1]
        layer.gamma.assign(np.linspace(0.5, 2, width))
        layer.beta.assign(np.linspace(-1, 1, width))
        layers.append(layer)
    return layers


def test_training_follows_algorithm_1():
    layer, _ = both(INPUTS)
    expected = np.empty((6, 4))
    for j in range(4):
        mean = sum(INPUTS[:, j]) / 6
        variance = sum((INPUTS[:, j] - mean) ** 2) / 6
        for i in range(6):
            x = (INPUTS[i, j] - mean) / np.sqrt(variance + 1e-5)
            expected[i, j] = (0.5 + 0.5 * j) * x + (-1 + 2 / 3 * j)
    outputs = layer(INPUTS, training=True)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_examples", [1, 2, 6])
def test_gradients_and_moving_moments_are_those_of_keras(num_examples):
    inputs = tf.constant(INPUTS[:num_examples])
    found = []
    for layer in both(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**3)
        weights = [layer.gamma.value, layer.beta.value]
        found.append(
            [
                *tape.gradient(loss, [inputs, *weights]),
                layer.moving_mean.numpy(),
                layer.moving_variance.numpy(),
            ]
        )
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_inference_uses_the_moving_moments():
    layer, theirs = both(INPUTS)
    for each in (layer, theirs):
        each(INPUTS, training=True)
    np.testing.assert_allclose(layer(INPUTS), theirs(INPUTS), rtol=1e-5)


def test_a_frozen_layer_does_not_learn_moments():
    layer, _ = both(INPUTS)
    layer.trainable = False
    before = layer.moving_mean.numpy()
    layer(INPUTS, training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)


def test_half_precision_is_normalized_in_single():
    layer, theirs = both(INPUTS, dtype="mixed_bfloat16")
    inputs = tf.cast(INPUTS, "bfloat16")
    outputs = layer(inputs, training=True)
    assert outputs.dtype == tf.bfloat16
    expected = theirs(inputs, training=True)
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), tf.cast(expected, tf.float32), atol=0.02
    )


def test_weights_have_kerass_names():
    ours, theirs = both(INPUTS)
    assert [w.path.split("/")[-1] for w in ours.weights] == [
        w.path.split("/")[-1] for w in theirs.weights
    ]
