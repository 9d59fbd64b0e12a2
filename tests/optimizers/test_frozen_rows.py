"""Frozen vectors stay, bit for bit, whatever the optimizer does."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf import optimizers
from deepfm_tf.layers import AttentiveEmbedding, SharedEmbedding
from deepfm_tf.optimizers.frozen_rows import keep_frozen
from deepfm_tf.row_shards import RowShards

# Blocks of 4 and 3 rows; the second field's ids are of the first block, too.
LAYOUT = {"vocabulary_sizes": (4, 3), "columns_per_field": (1, 2, 1)}
LAYOUT |= {"field_tables": (0, 0, 1), "embedding_dim": 2, "first_order": True}
IDS = np.array([[1, 2, -1, 0], [1, 3, 1, 2]], "int32")
FROZEN, LEARNING = slice(0, 4), slice(4, 7)

OPTIMIZERS = {
    "lazy_adam": lambda: optimizers.LazyAdam(
        0.1, batch_l2=0.1, weight_decay=0.1, global_clipnorm=1.0
    ),
    "rowwise_adagrad": lambda: optimizers.RowwiseAdagrad(0.1, batch_l2=0.1),
    "lazy_ftrl": lambda: optimizers.LazyFTRL(0.1, batch_l2=0.1),
    "composite": lambda: optimizers.CompositeOptimizer(
        optimizers.LazyAdam(0.1, batch_l2=0.1, weight_decay=0.1),
        optimizers.LazyFTRL(0.1),
        keras.optimizers.SGD(0.1),
    ),
    "adam": lambda: optimizers.Adam(0.1, weight_decay=0.1),
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
}


def build(cls=SharedEmbedding, **arguments):
    layer = cls(**LAYOUT, **arguments)
    layer.build((None, 4))
    table = np.random.default_rng(1).normal(size=(7, 3))
    layer.embeddings.assign(table)
    return layer


def train(layer, optimizer, steps=2, l2=0.0):
    variables = layer.trainable_variables
    for _ in range(steps):
        with tf.GradientTape() as tape:
            embeddings, linear = layer(IDS, training=True)
            loss = tf.reduce_sum(embeddings**2) + tf.reduce_sum(linear)
            if l2:
                table = tf.convert_to_tensor(layer.embeddings)
                loss += l2 * tf.reduce_sum(table**2)
        optimizer.apply(
            tape.gradient(loss, [v.value for v in variables]), variables
        )


@pytest.mark.parametrize("l2", [0.0, 0.5], ids=["touched", "table"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_vectors_stay_and_all_else_learns(name, l2):
    layer = build()
    layer.freeze([0])
    before = np.array(layer.embeddings)

    train(layer, OPTIMIZERS[name](), l2=l2)

    after = np.array(layer.embeddings)
    np.testing.assert_array_equal(after[FROZEN, :2], before[FROZEN, :2])
    # First-order weights of the rows that the batch touches.
    assert (after[1:4, 2] != before[1:4, 2]).all()
    assert (after[[4, 6]] != before[[4, 6]]).all()


@pytest.mark.parametrize("name", ["lazy_adam", "composite", "adam"])
def test_what_is_not_frozen_learns_as_if_nothing_were(name):
    frozen, plain = build(), build()
    frozen.freeze([0])

    for layer in (frozen, plain):
        optimizer = OPTIMIZERS[name]()
        # The norm of all gradients is smaller without those of frozen rows.
        optimizer.global_clipnorm = None
        train(layer, optimizer)

    tables = np.array(frozen.embeddings), np.array(plain.embeddings)
    np.testing.assert_allclose(tables[0][:, 2], tables[1][:, 2], rtol=1e-5)
    np.testing.assert_allclose(
        tables[0][LEARNING], tables[1][LEARNING], rtol=1e-5
    )


def test_an_optimizer_of_keras_gets_no_gradient_for_them():
    layer = build()
    layer.freeze([0])
    before = np.array(layer.embeddings)

    train(layer, keras.optimizers.Adam(0.1))

    after = np.array(layer.embeddings)
    np.testing.assert_array_equal(after[FROZEN, :2], before[FROZEN, :2])
    assert (after[[4, 6]] != before[[4, 6]]).all()


def test_a_candidate_and_its_history_are_frozen_together():
    layer = build(AttentiveEmbedding, attention=[(1, 0)])
    layer.freeze([0])
    before = np.array(layer.embeddings)
    unit = layer.attention_units[0].get_weights()[0]

    train(layer, OPTIMIZERS["lazy_adam"]())

    after = np.array(layer.embeddings)
    np.testing.assert_array_equal(after[FROZEN, :2], before[FROZEN, :2])
    assert (layer.attention_units[0].get_weights()[0] != unit).any()


def test_they_learn_again_once_they_are_free():
    layer = build()
    layer.freeze([0])
    layer.freeze([])
    before = np.array(layer.embeddings)

    train(layer, OPTIMIZERS["lazy_adam"](), steps=1)

    assert (np.array(layer.embeddings)[1:4] != before[1:4]).all()


def test_a_compiled_step_leaves_them_too():
    layer = build()
    layer.freeze([1])
    before = np.array(layer.embeddings)
    optimizer = OPTIMIZERS["sgd"]()
    optimizer.build(layer.trainable_variables)

    tf.function(lambda: train(layer, optimizer, steps=1), autograph=False)()

    after = np.array(layer.embeddings)
    np.testing.assert_array_equal(after[LEARNING, :2], before[LEARNING, :2])
    # Rows 1 to 3 are in the batch.
    assert (after[1:4] != before[1:4]).all()


def test_the_frozen_rows_that_one_of_two_workers_holds_are_kept():
    # Worker 1 holds the rows 1, 3 and 5; rows 2 and 3 are frozen.
    table = types.SimpleNamespace(
        frozen_rows=((2, 4),), row_shards=RowShards(1, 2), shape=(3, 1)
    )
    places = tf.constant([0, 1, 2])

    kept = keep_frozen(table, places, tf.zeros((3, 1)), tf.ones((3, 1)))

    assert kept.numpy().ravel().tolist() == [1, 0, 1]
