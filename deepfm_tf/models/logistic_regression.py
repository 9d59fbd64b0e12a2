"""Logistic regression: the linear baseline under all the others."""

from __future__ import annotations

from typing import Any

import keras

from deepfm_tf.layers import LinearTerm
from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.packed_inputs import packed_inputs
from deepfm_tf.models.shared_table import table_arguments
from deepfm_tf.schema import Schema


@keras.saving.register_keras_serializable("deepfm_tf")
class LogisticRegression(CTRModel):
    """Logistic regression on one weight per feature.

    `p = sigmoid(w_0 + sum_i w_i x_i)`

    Args:
        schema: Schema of a fitted vocabulary.
        weights_regularizer: Keras regularizer of all weights, not of the bias.
            Every step then reads and writes all of them. Defaults to `None`.

    Input shape:
        `"ids"` (batch, id columns), `"values"` (batch, numeric fields),
        `"weights"` (batch, weighted id columns); see `CTRModel`.

    Output shape:
        `{"probability": (batch, 1)}`

    Example:

    >>> from deepfm_tf import CategoricalField, LogisticRegression, Schema
    >>> field = CategoricalField("site", vocabulary_size=5)
    >>> model = LogisticRegression(Schema((field,), label="click"))
    >>> model.count_params()
    6

    Reference:
        [Richardson et al., 2007](https://doi.org/10.1145/1242572.1242643),
        equation 2.
    """

    def __init__(
        self, schema: Schema, weights_regularizer: Any = None, **kwargs: Any
    ) -> None:
        # === Layers ===
        self.linear_term = LinearTerm(
            weights_regularizer=weights_regularizer,
            dtype="float32",
            name="linear_term",
            **table_arguments(schema),
        )

        # === Functional model ===
        inputs, features = packed_inputs(schema)
        # (batch, 1)
        logits = self.linear_term(**features)
        super().__init__(schema, inputs, logits, **kwargs)

    @property
    def embedding_layer(self) -> Any:
        """The layer that holds the weights, one column wide."""
        return self.linear_term.first_order

    @property
    def can_be_taken_apart(self) -> bool:
        """Always: there is nothing but the linear term."""
        return True

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        return {
            **super().get_config(),
            "weights_regularizer": keras.regularizers.serialize(
                self.linear_term.weights_regularizer
            ),
        }
