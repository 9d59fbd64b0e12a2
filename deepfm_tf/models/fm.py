"""FM: the factorization machine that DeepFM is compared with."""

from __future__ import annotations

from typing import Any

import keras

from deepfm_tf.layers import (
    FirstOrderBias,
    FMInteraction,
)
from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.packed_inputs import packed_inputs
from deepfm_tf.models.shared_table import (
    embedding_config,
    shared_embedding,
)
from deepfm_tf.presets import SMALL_NORMAL
from deepfm_tf.schema import Schema


@keras.saving.register_keras_serializable("deepfm_tf")
class FM(CTRModel):
    """The 2-way factorization machine.

    `p = sigmoid(w_0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j)`

    with a first-order weight `w_i` and a latent vector `v_i` per feature.

    Args:
        schema: Schema of a fitted vocabulary.
        embedding_dim: int. Length k of the latent vectors. Defaults to 10.
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

    >>> from deepfm_tf import FM, CategoricalField, Schema
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=5),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> FM(Schema(fields, label="click")).count_params()  # 29 * (10 + 1) + 1
    320

    Reference:
        [Rendle, 2010](https://doi.org/10.1109/ICDM.2010.127), equation 1.
    """

    has_pairs = True

    def __init__(
        self,
        schema: Schema,
        embedding_dim: int = 10,
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
        self.fm_interaction = FMInteraction(
            dtype="float32", name="fm_interaction"
        )

        # === Functional model ===
        inputs, features = packed_inputs(schema)
        # (batch, num_fields, embedding_dim), (batch, 1)
        embeddings, linear = self.shared_embedding(**features)
        # (batch, 1) each
        logits = keras.layers.Add(dtype="float32", name="logits")(
            [self.linear_term(linear), self.fm_interaction(embeddings)]
        )
        super().__init__(schema, inputs, logits, **kwargs)

        # === Config ===
        self.embedding_dim = embedding_dim

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            **embedding_config(self.shared_embedding),
        }
