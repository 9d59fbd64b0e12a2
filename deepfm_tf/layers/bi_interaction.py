"""The products of all field pairs, pooled into one vector."""

import functools

import keras
import tensorflow as tf
from keras import ops

from deepfm_tf.errors import UserError, refuse_unknown
from deepfm_tf.kernels import compiled, detached


@keras.saving.register_keras_serializable("deepfm_tf")
class BiInteraction(keras.layers.Layer):
    """Pools the embeddings of all fields into their second-order interactions.

    The first layer of the neural factorization machine (NFM): an MLP on top of
    it then sees what a plain FM would only add up. It has no weights, and its
    cost grows with the number of fields, not of pairs:

        f_k = sum_{i<j} v_ik v_jk = 1/2 [(sum_i v_ik)^2 - sum_i v_ik^2]

    where `v_ik` is component k of the embedding of field i, already multiplied
    by the weight `x_i`. The two sums all but cancel, so they are computed in
    float32 whatever the compute dtype; only the result is cast.

    Call arguments:
        embeddings: Float tensor, one vector per field.

    Input shape:
        `(batch, num_fields, embedding_dim)`.

    Output shape:
        `(batch, embedding_dim)`.

    Raises:
        ValueError: If `embeddings` do not have three axes.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import BiInteraction
    >>> embeddings = np.array([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]]])
    >>> BiInteraction()(embeddings).numpy().tolist()
    [[5.0, 2.0]]

    Reference:
        [He and Chua, 2017](https://arxiv.org/abs/1708.05027), equation 4.
    """

    def __init__(self, **kwargs):
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        # Else Keras rounds `embeddings` to the compute dtype on the way in.
        self.autocast = False

    def build(self, embeddings_shape):
        _check_embeddings_shape(embeddings_shape)

    def call(self, embeddings, training=None):
        # (batch, embedding_dim)
        products = _sum_pair_products(embeddings, self.compute_dtype, training)
        return ops.cast(products, self.compute_dtype)

    def field_sums(self, embeddings):
        """What fields contribute: `sum_i v_i` and `sum_i v_i^2`.

        Those of two groups of fields add up to those of both.

        Args:
            embeddings: (batch, num_fields, embedding_dim), of any fields.

        Returns:
            Two tensors, (batch, embedding_dim) each.
        """
        return _field_sums(_widen(embeddings, self.compute_dtype))

    def from_sums(self, sums, squares):
        """What `call` gives, from `field_sums` of all fields."""
        return ops.cast(_products_of_sums(sums, squares), self.compute_dtype)

    def compute_output_shape(self, embeddings_shape):
        return (embeddings_shape[0], embeddings_shape[2])

    def get_config(self):
        return super().get_config()


def _check_embeddings_shape(shape):
    """Raises unless `shape` has the three axes that both layers expect."""
    if len(shape) != 3:
        raise UserError(
            "`embeddings` must have shape (batch, num_fields, embedding_dim). "
            f"Received: shape={tuple(shape)}."
        )


def _sum_pair_products(embeddings, compute_dtype, training):
    """Sums `v_i * v_j` over all pairs of fields, in float32 or wider."""
    # (batch, num_fields, embedding_dim)
    embeddings = _widen(embeddings, compute_dtype)
    # (batch, embedding_dim)
    return (_fused_products if training else _products)(embeddings)


def _widen(embeddings, compute_dtype):
    # The two terms nearly cancel: half precision would leave only their error.
    dtype = keras.backend.result_type(compute_dtype, "float32")
    return ops.cast(embeddings, dtype)


def _field_sums(embeddings):
    # Fields are summed, never flattened, before the square: it must not
    # multiply component k by another component.
    return ops.sum(embeddings, axis=1), ops.sum(ops.square(embeddings), axis=1)


def _products_of_sums(sums, squares):
    return ops.multiply(0.5, ops.subtract(ops.square(sums), squares))


def _products(embeddings):
    return _products_of_sums(*_field_sums(embeddings))


def _products_gradient(embeddings, upstream):
    # d f_k / d v_ik = sum_j v_jk - v_ik
    sums = ops.sum(embeddings, axis=1, keepdims=True)
    return ops.multiply(
        ops.expand_dims(upstream, 1), ops.subtract(sums, embeddings)
    )


_compiled_products = compiled(_products)
_compiled_gradient = compiled(_products_gradient)


@detached
@tf.custom_gradient
def _fused_products(embeddings):
    """`_products` in one pass, and one pass back instead of autodiff's six."""
    return _compiled_products(embeddings), functools.partial(
        _compiled_gradient, embeddings
    )
