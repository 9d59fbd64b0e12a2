"""The products of all field pairs, pooled into one vector."""

from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import refuse_unknown
from deepfm_tf.layers.pair_products import (
    check_embeddings_shape,
    field_sums,
    products_of_sums,
    sum_pair_products,
    widen,
)


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

    def __init__(self, **kwargs: Any) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        # Else Keras rounds `embeddings` to the compute dtype on the way in.
        self.autocast = False

    def build(self, embeddings_shape: Any) -> None:
        check_embeddings_shape(embeddings_shape)

    def call(self, embeddings: Any, training: bool | None = None) -> Any:
        # (batch, embedding_dim)
        products = sum_pair_products(embeddings, self.compute_dtype, training)
        return ops.cast(products, self.compute_dtype)

    def field_sums(self, embeddings: Any) -> tuple[Any, Any]:
        """What some fields contribute; see `pair_products.field_sums`."""
        return field_sums(widen(embeddings, self.compute_dtype))

    def from_sums(self, sums: Any, squares: Any) -> Any:
        """What `call` gives, from `field_sums` of all fields."""
        return ops.cast(products_of_sums(sums, squares), self.compute_dtype)

    def compute_output_shape(self, embeddings_shape: Any) -> tuple[Any, ...]:
        return (embeddings_shape[0], embeddings_shape[2])

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())
