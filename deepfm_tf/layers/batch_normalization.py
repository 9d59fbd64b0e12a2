"""Batch normalization of vectors by the kernel that is made for images."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("deepfm_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer with a faster training step.

    Keras 3 computes the batch's mean and variance, and their gradients, by an
    operation for each step of the formula. TensorFlow has one kernel for all
    of it, made for images: a vector is an image of one pixel here. Both
    passes over (4096, 400) cost 11 ms of processor time before, and less than
    1 ms so (two Xeon cores).

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    with mean and biased variance over the batch. In inference, and where
    more is asked for (a mask, `synchronized`, float64), it is Keras's layer.
    Arguments, weights and their names are those of
    `keras.layers.BatchNormalization`.

    Input shape:
        `(batch, features)`, float.

    Output shape:
        The same.

    Example:

    >>> import numpy as np
    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]], "float32"), training=True).numpy()
    array([[-1.],
           [ 1.]], dtype=float32)

    Reference:
        [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167), algorithm
        1.
    """

    def call(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        is_plain = (
            (self.scale and self.center)
            and not self.synchronized
            and self.compute_dtype != "float64"
            and mask is None
        )
        if not (training and self.trainable and is_plain):
            return super().call(inputs, training=training, mask=mask)
        features = inputs.shape[-1]
        # (batch, 1, 1, features); half precision would round the sums.
        images = ops.reshape(ops.cast(inputs, "float32"), (-1, 1, 1, features))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's is the unbiased one, n / (n - 1) times as large.
        num_examples = ops.cast(ops.shape(inputs)[0], "float32")
        variance *= ops.maximum(num_examples - 1, 1) / num_examples
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(
                moving * self.momentum + batch * (1.0 - self.momentum)
            )
        outputs = ops.reshape(outputs, (-1, features))
        return ops.cast(outputs, self.compute_dtype)
