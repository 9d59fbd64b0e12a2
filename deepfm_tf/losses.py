"""The loss that replicas take the gradient of."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("deepfm_tf")
class GlobalBinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Binary cross-entropy whose gradient is the mean over the whole batch.

    Keras gives the means of all replicas the same weight, also where a last
    batch leaves them unequal shares, or one of them none. Here the mean of
    replica r, of `n_r` examples among `n` on `R` replicas, gets the weight

        R n_r / n

    in the gradient; what it is as a number, and all on one replica, is
    Keras's.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.losses import GlobalBinaryCrossentropy
    >>> label, probability = np.array([[1.0], [0.0]]), np.array([[0.5], [0.5]])
    >>> round(float(GlobalBinaryCrossentropy()(label, probability)), 4)
    0.6931
    """

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """The mean of this replica's examples."""
        loss = super().__call__(y_true, y_pred, sample_weight)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return loss
        rows = tf.cast(tf.shape(y_true)[0], loss.dtype)
        # As slices: TensorFlow keeps the graph, and so the trained variables,
        # for ever where it adds up dense tensors (by a custom gradient).
        parts = replica.all_reduce(
            tf.distribute.ReduceOp.SUM,
            tf.IndexedSlices(rows[None], tf.constant([0]), tf.constant([1])),
        )
        total = tf.reduce_sum(parts.values)
        weighted = loss * replica.num_replicas_in_sync * rows / total
        return weighted + tf.stop_gradient(loss - weighted)
