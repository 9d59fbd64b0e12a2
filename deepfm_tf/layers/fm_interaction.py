"""The second-order part of a factorization machine."""

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
class FMInteraction(keras.layers.Layer):
    """Sums the inner products of the embeddings of all field pairs.

    The second-order term of FM and DeepFM: one number per example, to be added
    to the first-order logits. It has no weights, and its cost grows with the
    number of fields, not of pairs:

        y = sum_{i<j} <v_i, v_j>
          = 1/2 sum_k [(sum_i v_ik)^2 - sum_i v_ik^2]

    where `v_ik` is component k of the embedding of field i, already multiplied
    by the weight `x_i`. The two sums all but cancel, so they are computed in
    float32 whatever the compute dtype; only the result is cast.

    Call arguments:
        embeddings: Float tensor, one vector per field.

    Input shape:
        `(batch, num_fields, embedding_dim)`.

    Output shape:
        `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` do not have three axes.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import FMInteraction
    >>> embeddings = np.array([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]]])
    >>> FMInteraction()(embeddings).numpy().tolist()
    [[7.0]]

    Reference:
        [Rendle, 2010](https://doi.org/10.1109/ICDM.2010.127), lemma 3.1;
        [Guo et al., 2017](https://arxiv.org/abs/1703.04247), equation 2.
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
        return self._add_up(products)

    def field_sums(self, embeddings: Any) -> tuple[Any, Any]:
        """What some fields contribute; see `pair_products.field_sums`."""
        return field_sums(widen(embeddings, self.compute_dtype))

    def from_sums(self, sums: Any, squares: Any) -> Any:
        """What `call` gives, from `field_sums` of all fields."""
        return self._add_up(products_of_sums(sums, squares))

    def compute_output_shape(self, embeddings_shape: Any) -> tuple[Any, ...]:
        return (embeddings_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())

    def _add_up(self, products: Any) -> Any:
        # (batch, 1)
        logits = ops.sum(products, axis=1, keepdims=True)
        return ops.cast(logits, self.compute_dtype)
