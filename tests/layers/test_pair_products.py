"""Sums over pairs, against the double loop over the fields."""

import keras
import numpy as np
import pytest
from keras.src.testing import TestCase

from deepfm_tf.layers import BiInteraction, FMInteraction
from deepfm_tf.layers.pair_products import (
    check_embeddings_shape,
    field_sums,
    products_of_sums,
    sum_pair_products,
)
from tests import reference

# Layer -> what it computes by loops, and the width of that for dimension 3.
LAYERS = {
    FMInteraction: (reference.fm_interaction, 1),
    BiInteraction: (reference.bi_interaction, 3),
}
of_each_layer = pytest.mark.parametrize("layer", LAYERS)

EMBEDDINGS = np.random.default_rng(0).normal(size=(3, 5, 2))


def by_pairs(embeddings):
    total = np.zeros((len(embeddings), embeddings.shape[2]))
    for i in range(embeddings.shape[1]):
        for j in range(i + 1, embeddings.shape[1]):
            total += embeddings[:, i] * embeddings[:, j]
    return total


@pytest.mark.parametrize("training", [False, True])
def test_products_are_those_of_the_double_loop(training):
    found = sum_pair_products(EMBEDDINGS, "float64", training)

    np.testing.assert_allclose(found, by_pairs(EMBEDDINGS), rtol=1e-12)


def test_sums_of_two_groups_of_fields_add_up_to_those_of_all():
    groups = [field_sums(EMBEDDINGS[:, part]) for part in ([0, 3], [1, 2, 4])]

    found = products_of_sums(*(a + b for a, b in zip(*groups, strict=True)))

    np.testing.assert_allclose(found, by_pairs(EMBEDDINGS), rtol=1e-12)


def test_embeddings_have_three_axes():
    with pytest.raises(ValueError, match=r"must have shape .* shape=\(2, 3\)"):
        check_embeddings_shape((2, 3))


@of_each_layer
def test_keras_layer_contract_holds(layer):
    TestCase().run_layer_test(
        layer,
        init_kwargs={},
        input_shape=(2, 4, 3),
        expected_output_shape=(2, LAYERS[layer][1]),
        expected_num_trainable_weights=0,
        expected_num_non_trainable_weights=0,
        run_training_check=False,  # no weights to train
    )


@of_each_layer
def test_symbolic_batch_stays_unknown(layer):
    outputs = layer()(keras.Input((4, 3)))

    assert outputs.shape == (None, LAYERS[layer][1])


@of_each_layer
def test_one_field_has_no_interaction(layer):
    outputs = layer()(np.random.default_rng(9).normal(size=(5, 1, 3)))

    np.testing.assert_array_equal(outputs, np.zeros((5, LAYERS[layer][1])))


@of_each_layer
def test_empty_batch_gives_empty_output(layer):
    assert layer()(np.zeros((0, 4, 3))).shape == (0, LAYERS[layer][1])


@of_each_layer
def test_two_axes_are_refused(layer):
    with pytest.raises(ValueError, match=r"`embeddings` must have shape .*\(2"):
        layer()(np.ones((2, 3)))


@of_each_layer
def test_sums_of_two_groups_of_fields_add_up(layer):
    embeddings = np.random.default_rng(5).normal(size=(3, 5, 4))
    own = layer()

    one = own.field_sums(embeddings[:1, :2])
    many = own.field_sums(embeddings[:, 2:])
    products = own.from_sums(one[0] + many[0], one[1] + many[1])

    repeated = embeddings.copy()
    repeated[:, :2] = embeddings[:1, :2]
    expected = LAYERS[layer][0](repeated)
    np.testing.assert_allclose(products, expected, rtol=1e-5, atol=1e-6)
