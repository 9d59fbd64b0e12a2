"""NFM: a dense pyramid over the pooled pairwise interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from deepfm_tf.layers import (
    BiInteraction,
    DensePyramid,
    FirstOrderBias,
)
from deepfm_tf.models.packed_inputs import packed_inputs
from deepfm_tf.models.pyramid_model import PyramidModel
from deepfm_tf.models.shared_table import shared_embedding
from deepfm_tf.presets import SMALL_NORMAL
from deepfm_tf.schema import Schema


@keras.saving.register_keras_serializable("deepfm_tf")
class NFM(PyramidModel):
    """Neural factorization machine: nonlinear layers over the pairs.

    `p = sigmoid(w_0 + sum_i w_i x_i + MLP(sum_{i<j} x_i v_i * x_j v_j))`

    where `*` multiplies element by element. Dropout follows the pooling too.

    Args:
        schema: Schema of a fitted vocabulary.
        embedding_dim: int. Length k of the latent vectors. Defaults to 10.
        hidden_units: sequence of int. Widths of the hidden layers. Defaults
            to the one layer of 64 that the paper uses.
        activation: str. Of the hidden layers.
        dropout: float. Drop probability after the pooling and after each
            hidden layer, in [0, 1). Defaults to 0.2.
        batch_normalization: bool. Before each activation. Defaults to `True`.
        embeddings_initializer: Keras initializer of the latent vectors.
            Defaults to `keras.initializers.RandomNormal(stddev=0.01)`.
        embeddings_regularizer: Keras regularizer of the whole table, the
            first-order weights included. Every step then reads and writes
            every row. Defaults to `None`.

    Input shape:
        `"ids"` (batch, id columns), `"values"` (batch, numeric fields),
        `"weights"` (batch, weighted id columns); see `CTRModel`.

    Output shape:
        `{"probability": (batch, 1)}`

    Example:

    >>> from deepfm_tf import NFM, CategoricalField, Schema
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=5),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = NFM(Schema(fields, label="click"), embedding_dim=4)
    >>> model.count_params()
    723

    Reference:
        [He and Chua, 2017](https://arxiv.org/abs/1708.05027), equations 3-7.
    """

    def __init__(
        self,
        schema: Schema,
        embedding_dim: int = 10,
        hidden_units: Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.2,
        batch_normalization: bool = True,
        embeddings_initializer: Any = SMALL_NORMAL,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        self.shared_embedding = shared_embedding(
            schema,
            embedding_dim,
            embeddings_initializer,
            embeddings_regularizer,
        )
        self.linear_term = FirstOrderBias(dtype="float32", name="linear_term")
        self.bi_interaction = BiInteraction(
            dtype="float32", name="bi_interaction"
        )
        self.pooled_dropout = keras.layers.Dropout(
            dropout, name="pooled_dropout"
        )
        self.dense_pyramid = DensePyramid(
            hidden_units=hidden_units,
            activation=activation,
            dropout=dropout,
            batch_normalization=batch_normalization,
            name="dense_pyramid",
        )

        # === Functional model ===
        inputs, features = packed_inputs(schema)
        # (batch, num_fields, embedding_dim), (batch, 1)
        embeddings, linear = self.shared_embedding(**features)
        # (batch, embedding_dim)
        pooled = self.pooled_dropout(self.bi_interaction(embeddings))
        # (batch, 1) each
        logits = keras.layers.Add(dtype="float32", name="logits")(
            [self.linear_term(linear), self.dense_pyramid(pooled)]
        )
        super().__init__(schema, inputs, logits, **kwargs)

        # === Config ===
        self.embedding_dim = embedding_dim
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.batch_normalization = batch_normalization

    def deep_logits(self, embeddings: Any) -> Any:
        """See `CTRModel.deep_logits`."""
        return self.dense_pyramid(self.bi_interaction(embeddings))

    def first_kernel(self, fields: Sequence[int]) -> Any:
        """None: all fields are pooled before the pyramid."""
        return None

    def terms(self, columns: Any, fields: Sequence[int], kernel: Any) -> Any:
        """See `CTRModel.terms`."""
        sums, squares = self.bi_interaction.field_sums(columns)
        return {"sums": sums, "squares": squares}

    def from_terms(self, terms: Mapping[str, Any]) -> Any:
        """See `CTRModel.from_terms`."""
        dim = self.embedding_dim
        sums, squares = terms["sums"], terms["squares"]
        pooled = self.bi_interaction.from_sums(sums[:, :dim], squares[:, :dim])
        high_order = self.dense_pyramid(pooled)
        return self.linear_term(sums[:, dim:]) + ops.cast(high_order, "float32")
