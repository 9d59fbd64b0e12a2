"""What some of a model's fields contribute to its logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.packed_inputs import embedding_arguments
from deepfm_tf.packed_layout import PackedLayout


class FieldTerms:
    """A model's terms of some fields, to be added to those of the others.

    One user and a thousand ads: the user's terms are computed once, and the
    sum with each ad's gives the logits that the whole model gives.

        logits = from_terms(terms(user) + terms(ad))

    Args:
        model: a trained model.
        names: the fields.
        table: Variable to read instead of the model's table; see
            `SharedEmbedding.subset`.
        assume_all_present: bool. Whether no id will be -1, and no weights
            given, so that masks can be left out.

    Call arguments:
        packed: the packed inputs that hold only the columns of these fields.

    Returns:
        Name -> (batch, ...) tensor; see `CTRModel.terms`.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf import CategoricalField, DeepFM, Schema
    >>> fields = (
    ...     CategoricalField("user", vocabulary_size=5),
    ...     CategoricalField("ad", vocabulary_size=24),
    ... )
    >>> model = DeepFM(Schema(fields, label="click"), embedding_dim=4)
    >>> user = FieldTerms(model, ["user"])({"ids": np.array([[3]])})
    >>> ads = FieldTerms(model, ["ad"])({"ids": np.array([[0], [7], [23]])})
    >>> terms = {name: user[name] + ads[name] for name in ads}
    >>> model.from_terms(terms).shape
    TensorShape([3, 1])
    """

    def __init__(
        self,
        model: CTRModel,
        names: Sequence[str],
        table: Any = None,
        assume_all_present: bool = False,
    ) -> None:
        schema = model.schema
        self._model = model
        self._fields = [
            position
            for position, field in enumerate(schema.embedded_fields)
            if field.name in names
        ]
        self._layout = PackedLayout(f for f in schema.fields if f.name in names)
        self._embedding = model.embedding_layer.subset(
            self._fields, table, assume_all_present
        )
        kernel = model.first_kernel(self._fields)
        # A copy: to collect its rows in each call would cost more than what
        # is saved.
        self._kernel = (
            None
            if kernel is None
            else keras.Variable(kernel, trainable=False, name="first_kernel")
        )

    def __call__(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        arguments = embedding_arguments(self._layout, packed)
        columns = self._embedding.lookup(**arguments)
        return dict(self._model.terms(columns, self._fields, self._kernel))
