"""DeepFM: a factorization machine and a dense pyramid over one embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from deepfm_tf.layers import (
    DensePyramid,
    FirstOrderBias,
    FMInteraction,
)
from deepfm_tf.models.packed_inputs import packed_inputs
from deepfm_tf.models.pyramid_model import PyramidModel
from deepfm_tf.models.shared_table import factor_blocks, shared_embedding
from deepfm_tf.presets import SMALL_NORMAL
from deepfm_tf.schema import Schema

# From this width of the first hidden layer on, the products that numeric
# fields save cost more than what they take (see tests/benchmarks/README.md).
FACTORED_UNITS = 100


@keras.saving.register_keras_serializable("deepfm_tf")
class DeepFM(PyramidModel):
    """DeepFM, for when both simple and complex interactions matter.

    `p = sigmoid(w_0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j +
    MLP([v_1 x_1, ..., v_f x_f]))`

    with a first-order weight `w_i` and a latent vector `v_i` per feature. The
    same vectors feed the factorization machine and the pyramid.

    Args:
        schema: Schema of a fitted vocabulary.
        embedding_dim: int. Length k of the latent vectors. Defaults to 10.
        hidden_units: sequence of int. Widths of the hidden layers. Defaults
            to `(128, 64)`; the book has `(30, 20, 10)`.
        activation: str. Of the hidden layers.
        dropout: float. Drop probability after each hidden layer, in [0, 1).
            Defaults to 0.2.
        batch_normalization: bool. Before each activation. Defaults to `True`.
        embeddings_initializer: Keras initializer of the latent vectors.
            Defaults to `keras.initializers.RandomNormal(stddev=0.01)`; the
            book has `"glorot_uniform"`, Xavier's.
        embeddings_regularizer: Keras regularizer of the whole table, the
            first-order weights included. Every step then reads and writes
            every row. Defaults to `None`.

    Input shape:
        `"ids"` (batch, id columns), `"values"` (batch, numeric fields),
        `"weights"` (batch, weighted id columns); see `CTRModel`.

    Output shape:
        `{"probability": (batch, 1)}`

    Example:

    >>> from deepfm_tf import CategoricalField, DeepFM, Schema
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=5),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = DeepFM(Schema(fields, label="click"), embedding_dim=4)
    >>> model.count_params()
    10195

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1703.04247), equations 1-4.
    """

    has_pairs = True

    def __init__(
        self,
        schema: Schema,
        embedding_dim: int = 10,
        hidden_units: Sequence[int] = (128, 64),
        activation: str = "relu",
        dropout: float = 0.2,
        batch_normalization: bool = True,
        embeddings_initializer: Any = SMALL_NORMAL,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        self.linear_term = FirstOrderBias(dtype="float32", name="linear_term")
        self.fm_interaction = FMInteraction(
            dtype="float32", name="fm_interaction"
        )
        self.dense_pyramid = DensePyramid(
            hidden_units=hidden_units,
            activation=activation,
            dropout=dropout,
            batch_normalization=batch_normalization,
            factor_blocks=factor_blocks(schema),
            name="dense_pyramid",
        )
        factored = _saves_products(schema, self.dense_pyramid)
        self.shared_embedding = shared_embedding(
            schema,
            embedding_dim,
            embeddings_initializer,
            embeddings_regularizer,
            factored,
        )

        # === Functional model ===
        inputs, features = packed_inputs(schema)
        # (batch, num_fields, embedding_dim), (batch, 1)
        embeddings, linear, *deep = self.shared_embedding(**features)
        if not factored:
            # (batch, num_fields * embedding_dim)
            deep = [keras.layers.Flatten(name="flatten")(embeddings)]
        # (batch, 1) each
        logits = keras.layers.Add(dtype="float32", name="logits")(
            [
                self.linear_term(linear),
                self.fm_interaction(embeddings),
                self.dense_pyramid(*deep),
            ]
        )
        super().__init__(schema, inputs, logits, **kwargs)

        # === Config ===
        self.embedding_dim = embedding_dim
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.batch_normalization = batch_normalization


def _saves_products(schema: Schema, pyramid: DensePyramid) -> bool:
    """Whether numeric fields should reach the pyramid as their factors."""
    width = pyramid.hidden_units[0] if pyramid.hidden_units else 0
    return bool(schema.numeric_fields) and width >= FACTORED_UNITS
