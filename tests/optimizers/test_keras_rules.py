"""Keras's rules on merged gradients: any replicas, any duplicates, one step."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf

ROWS, DIM = 5, 2
# What two replicas see of three batches: rows 1 and 4 come on both.
STEPS = [([1, 4], [4, 0]), ([1, 1], [1, 2]), ([4, 2], [4, 1])]
KERAS = {
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
    "ftrl": keras.optimizers.Ftrl,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


def draw():
    random = np.random.default_rng(3)
    return [
        [(rows, random.normal(size=(len(rows), DIM))) for rows in step]
        for step in STEPS
    ]


def variables():
    random = np.random.default_rng(4)
    return [
        keras.Variable(random.normal(size=shape), name=name, dtype="float32")
        for shape, name in (((ROWS, DIM), "embeddings"), ((DIM,), "bias"))
    ]


OPTIONS = {"learning_rate": 0.1, "global_clipnorm": 0.5}


@functools.cache
def expected(name):
    """Keras's own rule on dense gradients, added up by numpy."""
    rule = KERAS[name](**OPTIONS)
    table, bias = variables()
    for step in draw():
        dense, total = np.zeros((ROWS, DIM)), np.zeros(DIM)
        for rows, gradient in step:
            np.add.at(dense, rows, gradient)
            total += gradient.sum(axis=0)
        rule.apply(
            [tf.constant(dense, "float32"), tf.constant(total, "float32")],
            [table, bias],
        )
    return table.numpy(), bias.numpy()


def trained(make, replicas):
    """`make()` where each replica has its own part of each batch."""
    strategy = deepfm_tf.create_strategy(replicas)
    with strategy.scope():
        table, bias = variables()
        rule = make()
        rule.build([table, bias])

    def apply(parts):
        replica = tf.distribute.get_replica_context()
        rows, gradient = parts[int(replica.replica_id_in_sync_group)]
        slices = tf.IndexedSlices(
            tf.constant(gradient, "float32"),
            tf.constant(rows),
            tf.constant([ROWS, DIM]),
        )
        total = tf.constant(gradient.sum(axis=0), "float32")
        rule.apply([slices, total], [table, bias])

    for step in draw():
        if replicas == 1:
            rows, gradients = zip(*step, strict=True)
            step = [(sum(rows, []), np.concatenate(gradients))]
        strategy.run(apply, args=(step,))
    return table.numpy(), bias.numpy()


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", KERAS)
def test_a_clipped_step_is_the_one_of_the_dense_gradient(name, replicas):
    found = trained(
        lambda: deepfm_tf.training.OPTIMIZERS[name](**OPTIONS), replicas
    )

    for ours, keras_s in zip(found, expected(name), strict=True):
        # Sums in another order.
        np.testing.assert_allclose(ours, keras_s, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [name for name in deepfm_tf.training.OPTIMIZERS if name not in KERAS],
)
def test_a_lazy_step_is_the_same_on_two_replicas(name):
    def make():
        return deepfm_tf.training.OPTIMIZERS[name](
            learning_rate=0.1, global_clipnorm=0.5, batch_l2=0.1
        )

    for one, two in zip(trained(make, 1), trained(make, 2), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
