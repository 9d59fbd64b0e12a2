"""Some rows of a table, read and written where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.kernels import local_value, tf_variable
from deepfm_tf.layers.table.variable import whole_table
from deepfm_tf.row_shards import is_sharded


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


def write_first_columns(table: Any, rows: Array, values: Array) -> None:
    """Set the first columns of some rows, and leave their others.

    Args:
        table: Keras variable. Where workers share out its rows, all of them
            call this, and each sets those that it holds.
        rows: (n,) int. None of them twice.
        values: (n, columns to set).
    """
    if is_sharded(table):
        shards = table.row_shards
        is_own = rows % shards.count == shards.number
        rows, values = rows[is_own] // shards.count, values[is_own]
    new = np.array(tf.gather(local_value(table), rows))
    new[:, : values.shape[1]] = values
    write_rows(table, rows, new)
