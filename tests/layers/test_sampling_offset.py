"""The offset of down-sampled training data."""

import keras
import numpy as np

from deepfm_tf.layers import SamplingOffset

LOGITS = np.array([[0.5], [-40.0], [3.0]], "float32")


def test_it_is_added_in_training_alone():
    layer = SamplingOffset(2.5)

    np.testing.assert_array_equal(layer(LOGITS, training=True), LOGITS + 2.5)
    np.testing.assert_array_equal(layer(LOGITS, training=False), LOGITS)
    np.testing.assert_array_equal(layer(LOGITS), LOGITS)


def test_config_round_trip_keeps_the_offset():
    layer = SamplingOffset(2.5, dtype="float32")

    clone = SamplingOffset.from_config(layer.get_config())

    assert (clone.offset, clone.compute_dtype) == (2.5, "float32")


def test_keras_still_computes_the_loss_from_the_logits():
    inputs = keras.Input((1,))
    logits = keras.layers.Dense(1, kernel_initializer="ones")(inputs)
    outputs = keras.layers.Activation("sigmoid")(SamplingOffset(1.0)(logits))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "binary_crossentropy", jit_compile=False)

    loss = model.train_on_batch(np.array([[39.0]]), np.array([[0.0]]))

    assert loss == 40.0
