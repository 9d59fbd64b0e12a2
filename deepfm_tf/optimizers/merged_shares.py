"""The sum of what replicas have told each other, to the same last bit."""

from __future__ import annotations

import tensorflow as tf


def merge_shares(
    gradient: tf.IndexedSlices, num_replicas: int
) -> tf.IndexedSlices:
    """The same gradient, each row of it named once.

    Each replica adds up what all have told. A GPU's sums by segment come in
    any order, so that the copies of a table would drift apart. Here rows are
    sorted and neighbours added, in an order that is the same everywhere.

    Args:
        gradient: the shares of all replicas, each of which names a row once.
        num_replicas: int.
    """
    order = tf.argsort(gradient.indices, stable=True)
    rows = tf.gather(gradient.indices, order)
    sums = tf.gather(gradient.values, order)
    one_a_row = [-1] + [1] * (len(sums.shape) - 1)
    distance = 1
    # Of what is left of its row, the first `distance` have been added to each.
    while distance < num_replicas:
        is_same = tf.reshape(rows[distance:] == rows[:-distance], one_a_row)
        others = tf.where(is_same, sums[distance:], 0.0)
        sums = tf.concat([sums[:-distance] + others, sums[-distance:]], axis=0)
        distance *= 2
    before = tf.concat([rows[:1] - 1, rows[:-1]], axis=0)
    firsts = tf.where(rows != before)[:, 0]
    return tf.IndexedSlices(
        tf.gather(sums, firsts), tf.gather(rows, firsts), gradient.dense_shape
    )
