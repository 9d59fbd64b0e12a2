"""Copies of models of several workers, for one host alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.kernels import local_value, rows_between
from deepfm_tf.row_shards import RowReader, is_sharded

# On a copy: which rows of its table training has touched.
TOUCHED = "deepfm_tf_touched_rows"
# Rows of an optimizer's state that are looked at at once.
BLOCK_ROWS = 2**16


def copy_of(model: Any, is_chief: bool) -> Any:
    """A copy of a model of several workers, for one alone; not compiled.

    The table is copied in blocks, so that there are never two on a worker. If
    it is sharded, all workers must call this. What the optimizer keeps of its
    rows stays behind, but for whether it keeps anything (`TOUCHED`).

    Args:
        model: Keras model.
        is_chief: whether this worker gets the copy of a sharded table.

    Returns:
        The copy, or None.
    """
    alone = None
    if is_chief or not any(map(is_sharded, model.weights)):
        alone = type(model).from_config(model.get_config())
    copies = [None] * len(model.weights) if alone is None else alone.weights
    for weight, copy in zip(model.weights, copies, strict=True):
        if not is_sharded(weight):
            if copy is not None:
                copy.assign(weight.numpy())
            continue
        for first_row, values in weight.reader.read_all(weight):
            if copy is not None:
                rows = np.arange(first_row, first_row + len(values))
                copy.value.scatter_update(tf.IndexedSlices(values, rows))
    layer: Any = getattr(model, "embedding_layer", None)
    state = None if layer is None else state_of(model, layer.embeddings)
    if state is not None:
        reader = getattr(layer.embeddings, "reader", None)
        touched = touched_rows(state, reader)
        if alone is not None:
            setattr(alone, TOUCHED, touched)
    return alone


def touched_rows(state: Any, reader: RowReader | None = None) -> Array:
    """(rows of the table,) bool: whether an optimizer has touched them.

    Args:
        state: what it keeps of the table's rows.
        reader: of the table, if its rows are shared out: all workers must
            call this then.
    """
    if reader is not None:
        found = np.zeros(state.num_rows, bool)
        for first_row, touched in reader.read_all(state, _are_touched, 1):
            found[first_row : first_row + len(touched)] = touched[:, 0] > 0
        return found
    whole = local_value(state)
    num_rows = whole.shape[0]
    blocks = [
        _are_touched(
            rows_between(whole, start, min(start + BLOCK_ROWS, num_rows))
        )[:, 0]
        > 0
        for start in range(0, num_rows, BLOCK_ROWS)
    ]
    return np.concatenate(blocks)


def state_of(model: Any, table: Any) -> Any:
    """What a lazy optimizer keeps of a table; None of any other.

    Args:
        model: Keras model, compiled or not.
        table: one of its variables.
    """
    optimizer = getattr(model, "optimizer", None)
    # keras.optimizers.LossScaleOptimizer stands around another.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    find = getattr(optimizer, "state_of", None)
    return None if find is None else find(table)


def _are_touched(state: Any) -> Any:
    """(rows, 1): 1 where an optimizer has kept something of a row, else 0."""
    # As floats, which collective operations take on all devices.
    touched = tf.reduce_any(state != 0, axis=1, keepdims=True)
    return tf.cast(touched, tf.float32)
