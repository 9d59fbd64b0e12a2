"""What some of a model's fields contribute to its logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.joined_terms import (
    PRESENT,
    SEQUENCE,
    TARGET,
    WEIGHT,
    attention_of,
)
from deepfm_tf.models.packed_inputs import embedding_arguments
from deepfm_tf.packed_layout import PackedLayout


class FieldTerms:
    """A model's terms of some fields, to be added to those of the others.

    One user and a thousand ads: the user's terms are computed once, and the
    sum with each ad's gives the logits that the whole model gives.

        logits = joined_terms(add_terms(terms(user), terms(ad)))

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
        Name -> (batch, ...) tensor; see `CTRModel.terms`. Of a field that
        attends to a candidate its vectors, and of its candidate the vector.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf import CategoricalField, DeepFM, Schema
    >>> from deepfm_tf.models import JoinedTerms, add_terms
    >>> fields = (
    ...     CategoricalField("user", vocabulary_size=5),
    ...     CategoricalField("ad", vocabulary_size=24),
    ... )
    >>> model = DeepFM(Schema(fields, label="click"), embedding_dim=4)
    >>> user = FieldTerms(model, ["user"])({"ids": np.array([[3]])})
    >>> ads = FieldTerms(model, ["ad"])({"ids": np.array([[0], [7], [23]])})
    >>> JoinedTerms(model)(add_terms(user, ads)).shape
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
            if field.column in names
        ]
        self._layout = PackedLayout(f for f in schema.fields if f.name in names)
        self._embedding = model.embedding_layer.subset(
            self._fields, table, assume_all_present
        )
        attention = attention_of(model)
        attending = {field for field, _ in attention}
        self._others = [f for f in self._fields if f not in attending]
        # Number in the model, and place among these fields; of candidates too.
        self._attending, self._candidates = (
            [
                (number, self._fields.index(pair[side]))
                for number, pair in enumerate(attention)
                if pair[side] in self._fields
            ]
            for side in (0, 1)
        )
        kernel = model.first_kernel(self._others) if self._others else None
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
        terms = self._attention_terms(columns, packed)
        if not self._others:
            return terms
        if self._attending:
            places = [self._fields.index(field) for field in self._others]
            columns = ops.take(columns, places, axis=1)
        terms |= self._model.terms(columns, self._others, self._kernel)
        return terms

    def _attention_terms(
        self, columns: Any, packed: Mapping[str, Any]
    ) -> dict[str, Any]:
        terms = {
            TARGET.format(number): columns[:, place, :-1]
            for number, place in self._candidates
        }
        if not self._attending:
            return terms
        ids = packed["ids"]
        vectors = self._embedding.read_rows(ids)[:, :, :-1]
        present = ops.cast(ops.greater_equal(ids, 0), vectors.dtype)
        for number, place in self._attending:
            ours = self._layout.columns(self._layout.fields[place].name)["ids"]
            terms |= {
                SEQUENCE.format(number): vectors[:, ours],
                PRESENT.format(number): present[:, ours],
                WEIGHT.format(number): columns[:, place, -1:],
            }
        return terms
