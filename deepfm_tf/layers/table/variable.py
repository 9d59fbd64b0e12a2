"""The variable of a table: whole, or the rows that this worker holds."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.errors import UserError
from deepfm_tf.keras_internals import is_in_xla
from deepfm_tf.kernels import local_value
from deepfm_tf.layers.table.large_table import FirstValues, drawn_blocks
from deepfm_tf.layers.table.rows import TableRows
from deepfm_tf.row_shards import (
    OUTSIDE,
    RowShards,
    current_row_shards,
    held_apart,
    is_sharded,
)


def add_table(
    layer: keras.layers.Layer,
    shape: tuple[int, int],
    initializer: Any,
    num_drawn: int,
    regularizer: Any,
) -> Any:
    """The variable of a layer's table, in parts where the strategy says so.

    Args:
        layer: the one whose weight it becomes.
        shape: (rows, columns) of the whole table.
        initializer: Keras initializer, or any callable.
        num_drawn: int. Columns to be drawn; the others are zero.
        regularizer: of the whole table. Optional.
    """
    shards = current_row_shards()
    if shards is not None:
        if regularizer is not None:
            raise UserError(
                "A table whose rows are distributed over workers must have "
                "no regularizer, which needs all rows at each step. Give a "
                "lazy optimizer `batch_l2`."
            )
        return _add_part(layer, shards, shape, initializer, num_drawn)
    first_values = FirstValues(initializer, num_drawn)
    table = layer.add_weight(
        name="embeddings",
        shape=shape,
        initializer=first_values,
        regularizer=regularizer,
        autocast=False,
    )
    first_values.complete(table)
    return table


def _add_part(
    layer: keras.layers.Layer,
    shards: RowShards,
    shape: tuple[int, int],
    initializer: Any,
    num_drawn: int,
) -> Any:
    """The rows of this worker; they start as they would on one.

    All workers draw all rows, in blocks, and keep their own.
    """
    num_rows, num_columns = shape
    with held_apart():
        table = layer.add_weight(
            name="embeddings",
            shape=(shards.num_held(num_rows), num_columns),
            initializer="zeros",
            autocast=False,
        )
    # For optimizers, and for checkpoints.
    table.row_shards, table.num_rows = shards, num_rows
    table.reader = shards.new_reader()
    part = local_value(table)
    for first_row, block in drawn_blocks(initializer, num_rows, num_drawn):
        block = keras.ops.convert_to_numpy(block)
        places, values = shards.held(first_row, block)
        values = tf.pad(values, ((0, 0), (0, num_columns - num_drawn)))
        part.scatter_update(tf.IndexedSlices(values, places))
    return table


def gather_rows(table: Any, rows: TableRows, ids: Any, values: Any) -> Any:
    """The rows of a batch, with a gradient, wherever they are held.

    Args:
        table: what `add_table` gave.
        rows: where id columns and numeric fields find their rows.
        ids: (batch, num_ids), or None.
        values: (batch, num_values), or None.
    """
    named = rows.contributing(ids, values)
    if is_sharded(table):
        return table.reader.read(table, named)
    whole = local_value(table)
    if is_in_xla():
        # Shapes are fixed there; and no lazy optimizer is, which would take
        # row 0 for touched.
        return tf.gather(whole, tf.maximum(named, 0))
    # All or none: see `contributing`.
    is_any = tf.reduce_all(named[:1] >= 0)
    size = tf.size(named)
    vectors = tf.gather(whole, named[: tf.where(is_any, size, 0)])
    return tf.cond(
        is_any,
        lambda: vectors,
        # Of no rows; zeros alone would have no gradient in an eager call.
        lambda: tf.pad(vectors, [[0, size], [0, 0]]),
    )


def whole_table(table: Any) -> Any:
    """The `tf.Variable` of this replica that holds all rows.

    Raises:
        UserError: none does.
    """
    if is_sharded(table):
        raise UserError(OUTSIDE)
    return local_value(table)
