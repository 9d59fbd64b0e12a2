"""The first-order part of a factorization machine."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import refuse_unknown
from deepfm_tf.layers.shared_embedding import SharedEmbedding


@keras.saving.register_keras_serializable("deepfm_tf")
class LinearTerm(keras.layers.Layer):
    """Sums one weight per feature, and a bias: logistic regression's logits.

    It is the first-order term of FM and DeepFM, the wide part of Wide & Deep
    and, alone, logistic regression. Its weights are a `SharedEmbedding` of
    dimension 1, which says what id columns, blocks and negative ids are.

        y = w_0 + sum_i w_i x_i

    where `w_0` is the bias, `w_i` the weight of the id in column i and `x_i`
    the weight passed for that column (1 where none are given). The sum runs in
    float32, also under mixed precision.

    All weights start at zero, so that at first every example gets the same
    logits: the term is linear, there is no symmetry to break.

    Args:
        vocabulary_sizes: Sequence of ints. Rows of each block of weights, the
            out-of-vocabulary row included.
        columns_per_field: Sequence of ints, one per field. How many consecutive
            columns of `ids` belong to each field. Defaults to `None`: one each.
        field_tables: Sequence of ints, one per field. The block each field
            reads. Defaults to `None`: field i reads block i.
        weights_regularizer: Regularizer of all first-order weights, not of the
            bias. Defaults to `None`.
        use_bias: bool. Whether to add `w_0`. Defaults to `True`.

    Call arguments:
        ids: Integer tensor. Ids within each field; a negative one adds nothing.
        weights: Float tensor, the x of the id columns. Defaults to `None`.
        values: Float tensor, the x of the last fields, which are numeric (see
            `SharedEmbedding`). Defaults to `None`.

    Input shape:
        `ids` and `weights`: `(batch, num_ids)`. `values`: `(batch,
        num_values)`.

    Output shape:
        `(batch, 1)`.

    Raises:
        ValueError: As `SharedEmbedding` does.
        TypeError: If `ids` are not integers.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import LinearTerm
    >>> linear = LinearTerm((5, 7), name="linear")
    >>> linear(np.array([[1, 6], [0, 2], [4, -1]])).shape
    TensorShape([3, 1])
    >>> [weight.path for weight in linear.weights]
    ['linear/bias', 'linear/first_order/embeddings']

    Reference:
        [Rendle, 2010](https://doi.org/10.1109/ICDM.2010.127), equation 1;
        [Guo et al., 2017](https://arxiv.org/abs/1703.04247), equation 2.
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        columns_per_field: Sequence[int] | None = None,
        field_tables: Sequence[int] | None = None,
        weights_regularizer: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        # Else Keras casts `weights` to the compute dtype on the way in.
        self.autocast = False
        self.first_order = SharedEmbedding(
            vocabulary_sizes,
            embedding_dim=1,
            columns_per_field=columns_per_field,
            field_tables=field_tables,
            embeddings_initializer="zeros",
            embeddings_regularizer=weights_regularizer,
            # Not the dtype policy: the sum below wants unrounded weights.
            dtype=self.variable_dtype,
            name="first_order",
        )
        self.vocabulary_sizes = self.first_order.vocabulary_sizes
        self.columns_per_field = self.first_order.columns_per_field
        self.field_tables = self.first_order.field_tables
        self.weights_regularizer = self.first_order.embeddings_regularizer
        self.use_bias = use_bias

    def build(
        self,
        ids_shape: Any = None,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> None:
        self.first_order.build(ids_shape, weights_shape, values_shape)
        self.first_order.embeddings.first_order_columns = 1
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(), initializer="zeros", autocast=False
            )

    def call(
        self,
        ids: Any = None,
        weights: Any = None,
        values: Any = None,
        training: bool | None = None,
    ) -> Any:
        # (batch, num_fields, 1)
        first_order = self.first_order(ids, weights, values, training=training)
        # (batch, 1)
        return self.from_sum(ops.sum(first_order, axis=1))

    def from_sum(self, linear: Any) -> Any:
        """What `call` gives, from `sum_i w_i x_i`, (batch, 1)."""
        if self.use_bias:
            linear = ops.add(linear, self.bias)
        return ops.cast(linear, self.compute_dtype)

    def compute_output_shape(
        self,
        ids_shape: Any = None,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> tuple[Any, ...]:
        return ((ids_shape or values_shape)[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_sizes": self.vocabulary_sizes,
            "columns_per_field": self.columns_per_field,
            "field_tables": self.field_tables,
            "weights_regularizer": keras.regularizers.serialize(
                self.weights_regularizer
            ),
            "use_bias": self.use_bias,
        }
