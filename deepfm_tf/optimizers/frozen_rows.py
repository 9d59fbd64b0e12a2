"""Rows of a table that training leaves as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from deepfm_tf.keras_internals import weight_decay_of
from deepfm_tf.row_shards import is_sharded

# Updates a variable's part on one replica by its gradient, at a rate.
Step = Callable[[Any, Any, Any], None]


def frozen_rows(variable: Any) -> tuple[tuple[int, int], ...]:
    """Ranges of the rows whose vectors are frozen; see `SharedEmbedding`."""
    ranges: tuple[tuple[int, int], ...] = getattr(variable, "frozen_rows", ())
    return ranges


def keep_frozen(variable: Any, rows: Any, values: Any, new_values: Any) -> Any:
    """The new values of rows, but of frozen ones the vectors they had.

    First-order weights, the last columns, are not frozen.

    Args:
        variable: the table.
        rows: (rows,), or None for all of the table.
        values, new_values: (rows, columns).
    """
    ranges = frozen_rows(variable)
    if not ranges:
        return new_values
    if rows is None:
        rows = tf.range(tf.shape(values)[0])
    if is_sharded(variable):
        rows = variable.row_shards.rows_of(rows)
    is_frozen = tf.zeros_like(rows, tf.bool)
    for start, stop in ranges:
        is_frozen |= (rows >= start) & (rows < stop)
    # (1, columns)
    is_vector = tf.range(values.shape[1])[None] < _vector_columns(variable)
    return tf.where(is_frozen[:, None] & is_vector, values, new_values)


def keeping_frozen(optimizer: Any, variable: Any, step: Step) -> Step:
    """A step of a rule for whole tables that leaves frozen rows alone.

    Weight decay is part of it: Keras's own reaches all rows.
    """

    def update(table: Any, gradient: Any, rate: Any) -> None:
        columns = _vector_columns(variable)
        kept = [
            (start, stop, tf.identity(table[start:stop, :columns]))
            for start, stop in frozen_rows(variable)
        ]
        if decay := weight_decay_of(optimizer, variable):
            table.assign_sub(table * decay * tf.cast(rate, table.dtype))
        step(table, gradient, rate)
        for start, stop, values in kept:
            table[start:stop, :columns].assign(values)

    return update


def _vector_columns(variable: Any) -> int:
    columns: int = variable.shape[1] - getattr(
        variable, "first_order_columns", 0
    )
    return columns
