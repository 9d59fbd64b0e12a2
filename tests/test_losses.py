"""The loss of replicas with unequal shares."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.losses import GlobalBinaryCrossentropy

LABELS = np.array([[1.0], [0.0], [0.0]], "float32")


def test_on_one_replica_it_is_the_mean_of_the_logarithms():
    probability = np.array([[0.8], [0.4], [0.1]], "float32")

    loss = GlobalBinaryCrossentropy()(LABELS, probability)

    expected = -np.mean(np.log([0.8, 0.6, 0.9]))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shares", [(2, 1), (3, 0)])
def test_gradients_of_unequal_shares_add_up_to_that_of_the_batch(shares):
    strategy = deepfm_tf.create_strategy(2)

    def gradient():
        replica = tf.distribute.get_replica_context()
        number = int(replica.replica_id_in_sync_group)
        labels = np.split(LABELS, [shares[0]])[number]
        weight = tf.zeros((1, 1))
        with tf.GradientTape() as tape:
            tape.watch(weight)
            logits = tf.ones((len(labels), 1)) @ weight
            # Keras's losses are divided by the number of replicas.
            loss = GlobalBinaryCrossentropy()(labels, tf.sigmoid(logits))
        return tape.gradient(loss, weight)

    parts = strategy.experimental_local_results(strategy.run(gradient))

    # Of each example 0.5 - label, of all of them the mean.
    total = sum(float(part[0, 0]) for part in parts)
    assert total == pytest.approx((-0.5 + 0.5 + 0.5) / 3, abs=1e-6)
