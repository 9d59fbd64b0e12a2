"""What is noted on vectors is found on them, and on no others."""

import tensorflow as tf

from deepfm_tf.layers.table.known_products import known_products, note_products


def test_products_are_known_of_the_vectors_that_they_were_noted_on():
    embeddings, products = tf.ones((2, 3, 4)), tf.ones((2, 4))

    note_products(embeddings, products)

    assert known_products(embeddings) is products
    assert known_products(tf.identity(embeddings) * 1) is None
