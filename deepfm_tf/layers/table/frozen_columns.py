"""Vectors that are read and do not learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def without_gradient(
    vectors: Any, ids: Any, is_frozen: Sequence[bool], embedding_dim: int
) -> Any:
    """The same rows; those of frozen id columns give their vectors none.

    Args:
        vectors: the rows of all id columns in turn, then others; see
            `RowPooling`.
        ids: (batch, num_ids).
        is_frozen: (num_ids,), which columns are frozen.
        embedding_dim: int. Columns beyond it, the first-order weights, learn.
    """
    is_vector = np.arange(vectors.shape[1]) < embedding_dim
    # (num_ids, columns)
    mask = tf.constant(np.array(is_frozen)[:, None] & is_vector)
    mask = tf.tile(mask, [tf.shape(ids)[0], 1])
    others = tf.shape(vectors)[0] - tf.shape(mask)[0]
    mask = tf.pad(mask, [[0, others], [0, 0]])
    return tf.where(mask, tf.stop_gradient(vectors), vectors)
