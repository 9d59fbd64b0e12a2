"""Some rows of a table, read and written where they are."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.kernels import tf_variable
from deepfm_tf.layers.table_variable import whole_table


def read_rows(table: Any, rows: Array) -> Array:
    """(n, columns) float32: a copy of some rows of a table, and of no others.

    Args:
        table: Keras variable, on one device or on several.
        rows: (n,) int.
    """
    found: Array = tf.gather(whole_table(table), rows).numpy()
    return found


def write_rows(table: Any, rows: Array, values: Array) -> None:
    """Set some rows of a table, in place and on all devices.

    `assign` would need a second table, and on several devices one for each.

    Args:
        table: Keras variable, on one device or on several.
        rows: (n,) int. None of them twice.
        values: (n, columns).
    """
    value = tf_variable(table)
    copies = (value,)
    if isinstance(value, tf.distribute.DistributedValues):
        copies = value.distribute_strategy.experimental_local_results(value)
    for copy in copies:
        with tf.device(copy.device):
            copy.scatter_update(tf.IndexedSlices(values, rows))
