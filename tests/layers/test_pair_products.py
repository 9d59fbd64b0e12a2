"""Sums over pairs, against the double loop over the fields."""

import numpy as np
import pytest

from deepfm_tf.layers.pair_products import (
    check_embeddings_shape,
    field_sums,
    products_of_sums,
    sum_pair_products,
)

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
