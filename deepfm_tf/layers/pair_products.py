"""Sums over all pairs of fields, at the cost of sums over the fields."""

import functools
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from deepfm_tf.errors import UserError
from deepfm_tf.kernels import compiled, detached
from deepfm_tf.layers.table.known_products import known_products


def check_embeddings_shape(shape: Any) -> None:
    """Raise a UserError unless `shape` has the three axes of embeddings."""
    if len(shape) != 3:
        raise UserError(
            "`embeddings` must have shape (batch, num_fields, embedding_dim). "
            f"Received: shape={tuple(shape)}."
        )


def sum_pair_products(
    embeddings: Any, compute_dtype: Any, training: bool | None
) -> Any:
    """`sum_{i<j} v_i * v_j` over all pairs of fields, in float32 or wider.

    Args:
        embeddings: (batch, num_fields, embedding_dim).
        compute_dtype: the layer's.
        training: bool. Whether XLA compiles the step.

    Returns:
        (batch, embedding_dim).
    """
    products = known_products(embeddings) if training else None
    # (batch, num_fields, embedding_dim)
    embeddings = widen(embeddings, compute_dtype)
    # (batch, embedding_dim)
    if products is not None and products.dtype == embeddings.dtype:
        return products
    return (_fused_products if training else _products)(embeddings)


def widen(embeddings: Any, compute_dtype: Any) -> Any:
    """The embeddings in float32, or in the compute dtype if it is wider."""
    # The two terms nearly cancel: half precision would leave only their error.
    dtype = keras.backend.result_type(compute_dtype, "float32")
    return ops.cast(embeddings, dtype)


def field_sums(embeddings: Any) -> tuple[Any, Any]:
    """What fields contribute: `sum_i v_i` and `sum_i v_i^2`.

    Those of two groups of fields add up to those of both.

    Args:
        embeddings: (batch, num_fields, embedding_dim), of any fields.

    Returns:
        Two tensors, (batch, embedding_dim) each.
    """
    # Fields are summed, never flattened, before the square: it must not
    # multiply component k by another component.
    return ops.sum(embeddings, axis=1), ops.sum(ops.square(embeddings), axis=1)


def products_of_sums(sums: Any, squares: Any) -> Any:
    """`sum_{i<j} v_i * v_j`, from the `field_sums` of all fields."""
    return ops.multiply(0.5, ops.subtract(ops.square(sums), squares))


def _products(embeddings: Any) -> Any:
    return products_of_sums(*field_sums(embeddings))


def _products_gradient(embeddings: Any, upstream: Any) -> Any:
    # d f_k / d v_ik = sum_j v_jk - v_ik
    sums = ops.sum(embeddings, axis=1, keepdims=True)
    return ops.multiply(
        ops.expand_dims(upstream, 1), ops.subtract(sums, embeddings)
    )


_compiled_products = compiled(_products)
_compiled_gradient = compiled(_products_gradient)


@detached
@tf.custom_gradient
def _fused_products(embeddings: Any) -> Any:
    """`_products` in one pass, and one pass back instead of autodiff's six."""
    return _compiled_products(embeddings), functools.partial(
        _compiled_gradient, embeddings
    )
