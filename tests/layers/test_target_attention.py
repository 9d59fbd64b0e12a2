"""Tests of the attention of a history to a candidate."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from deepfm_tf.layers import TargetAttention
from tests import reference

LENGTH, DIM, UNITS = 4, 3, 5


def draw(batch, dtype="float32"):
    """A history, a candidate, and which values there are: not all, not none."""
    random = np.random.default_rng(3)
    present = random.random((batch, LENGTH)) < 0.6
    present[0] = [True, False, True, True]
    return (
        random.normal(size=(batch, LENGTH, DIM)).astype(dtype),
        random.normal(size=(batch, DIM)).astype(dtype),
        present,
    )


def build(dtype="float32"):
    """A layer whose weights are all of one size."""
    layer = TargetAttention(units=UNITS, dtype=dtype)
    layer.build((None, LENGTH, DIM), (None, DIM))
    random = np.random.default_rng(4)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def weights_of(layer):
    return [
        np.array(getattr(layer, name), "float64")
        for name in ("kernel", "bias", "output_kernel", "output_bias")
    ]


@pytest.mark.parametrize("batch", [1, 5])
def test_output_is_the_papers_weighted_sum(batch):
    sequence, target, present = draw(batch)
    layer = build()

    outputs = layer(sequence, target, present)

    expected = reference.target_attention(
        sequence, target, present, *weights_of(layer)
    )
    # float32 sums of fifty terms.
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_output_is_two_weighted_vectors_by_hand():
    layer = TargetAttention(units=1)
    layer.build((None, 2, 1), (None, 1))
    # a(e, v) = 2 relu(1 e + 3 e v - 4 v + 1) + 0.5
    weights = [[[1.0], [3.0], [-4.0]], [1.0], [[2.0]], [0.5]]
    layer.set_weights([np.array(weight) for weight in weights])

    outputs = layer(np.array([[[2.0], [-1.0]]]), np.array([[5.0]]))

    # 2 + 30 - 20 + 1 = 13: a = 26.5; -1 - 15 - 20 + 1 < 0: a = 0.5
    np.testing.assert_allclose(outputs, [[26.5 * 2 + 0.5 * -1]])


def test_at_first_the_vectors_are_about_added_up():
    sequence, target, present = draw(5)

    outputs = TargetAttention()(1e-4 * sequence, 1e-4 * target, present)

    expected = 1e-4 * (sequence * present[:, :, None]).sum(axis=1)
    # The rest of a(e, v) is as small as the vectors are.
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_what_is_not_present_neither_counts_nor_gets_a_gradient():
    sequence, target, present = draw(5)
    other = np.where(present[:, :, None], sequence, 7.0)
    layer = build()

    inputs = tf.constant(other)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, target, present)
    gradient = tape.gradient(outputs, inputs).numpy()

    np.testing.assert_array_equal(outputs, layer(sequence, target, present))
    assert not gradient[~present].any()
    assert gradient[present].all()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_gradients_match_central_differences(which):
    sequence, target, present = draw(3, "float64")
    layer = build("float64")
    upstream = np.random.default_rng(8).normal(size=(3, DIM))
    arrays = [sequence, target, np.array(layer.kernel)]

    def loss_of(array):
        found = [*arrays[:which], array, *arrays[which + 1 :]]
        expected = reference.target_attention(
            *found[:2], present, found[2], *weights_of(layer)[1:]
        )
        return np.sum(expected * upstream)

    sources = [tf.constant(sequence), tf.constant(target), layer.kernel.value]
    with tf.GradientTape() as tape:
        tape.watch(sources[:2])
        loss = tf.reduce_sum(layer(*sources[:2], present) * upstream)
    gradient = tape.gradient(loss, sources[which])

    # Cubic between the kinks of the ReLU: the error is epsilon squared.
    expected = reference.central_difference(loss_of, arrays[which], 1e-5)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@pytest.mark.parametrize("alone", ["history", "candidate"])
def test_one_example_goes_with_many(alone):
    sequence, target, present = draw(5)
    layer = build()
    if alone == "history":
        one = sequence[:1], target, present[:1]
        many = sequence[:1].repeat(5, 0), target, present[:1].repeat(5, 0)
    else:
        one = sequence, target[:1], present
        many = sequence, target[:1].repeat(5, 0), present

    np.testing.assert_allclose(layer(*one), layer(*many), rtol=1e-5, atol=1e-5)


def test_half_precision_rounds_and_no_more():
    sequence, target, present = draw(5)
    half = TargetAttention(units=UNITS, dtype="mixed_bfloat16")
    whole = build()
    half.build((None, LENGTH, DIM), (None, DIM))
    half.set_weights(whole.get_weights())

    outputs = half(sequence, target, present)

    assert outputs.dtype == "bfloat16"
    expected = np.array(whole(sequence, target, present))
    # bfloat16 has 8 bits; weights of about ten, four vectors.
    np.testing.assert_allclose(
        np.array(outputs, "float32"), expected, atol=0.02 * abs(expected).max()
    )


def test_keras_layer_contract_holds():
    TestCase().run_layer_test(
        TargetAttention,
        init_kwargs={"units": UNITS, "activation": "sigmoid"},
        input_shape={
            "sequence_shape": (2, LENGTH, DIM),
            "target_shape": (2, DIM),
        },
        expected_output_shape=(2, DIM),
        expected_num_trainable_weights=4,
        expected_num_non_trainable_weights=0,
        run_training_check=False,  # Keras would pass the dict as `sequence`
    )


def test_equal_layers_start_from_other_kernels():
    initializer = keras.initializers.RandomNormal()
    layer = TargetAttention(units=3 * DIM, kernel_initializer=initializer)

    layer.build((None, LENGTH, DIM), (None, DIM))

    kernels = np.array(layer.kernel), np.array(layer.output_kernel)
    assert not np.isin(kernels[1], kernels[0]).any()


def test_units_must_be_a_positive_integer():
    with pytest.raises(ValueError, match=r"`units` must be .*units=0\."):
        TargetAttention(units=0)


@pytest.mark.parametrize(
    "shapes",
    [((None, 4, 3), (None, 2)), ((None, 3), (None, 3)), ((2, 4, None), (2, 3))],
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="`sequence` and `target` must have"):
        TargetAttention().build(*shapes)
