"""From terms of groups of fields, added up, to logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from deepfm_tf.models.ctr_model import CTRModel

# Behind the name of the terms that wait for both of the fields they are of.
SEQUENCE, PRESENT, WEIGHT, TARGET = (
    "attention_{}_" + name
    for name in ("sequence", "present", "first_order", "target")
)


def add_terms(
    left: Mapping[str, Any], right: Mapping[str, Any]
) -> dict[str, Any]:
    """The terms of two groups of fields together.

    Terms that only one of them has are what the other's fields have no part
    in. A group of one example goes with any number of the other's.
    """
    both = {name: left[name] + right[name] for name in left if name in right}
    return {**left, **right, **both}


class JoinedTerms:
    """Logits of the added `FieldTerms` of all fields.

    `model.from_terms`, after the terms of fields that attend to a candidate,
    which may be of the other group: their vectors are known only here.

    Args:
        model: a trained model.

    Call arguments:
        terms: the sum of `FieldTerms` of all fields; see `add_terms`.

    Returns:
        (batch, 1) logits, as in inference.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf import CategoricalField, DeepFM, Schema
    >>> from deepfm_tf.models import FieldTerms, JoinedTerms
    >>> field = CategoricalField("ad", vocabulary_size=24)
    >>> model = DeepFM(Schema((field,), label="click"), embedding_dim=4)
    >>> terms = FieldTerms(model, ["ad"])({"ids": np.array([[0], [7]])})
    >>> JoinedTerms(model)(terms).shape
    TensorShape([2, 1])
    """

    def __init__(self, model: CTRModel) -> None:
        self._model = model
        self._attention = attention_of(model)
        kernels = [model.first_kernel([field]) for field, _ in self._attention]
        # Copies, as in `FieldTerms`.
        self._kernels = [
            kernel
            if kernel is None
            else keras.Variable(kernel, trainable=False, name="first_kernel")
            for kernel in kernels
        ]

    def __call__(self, terms: Mapping[str, Any]) -> Any:
        terms, model = dict(terms), self._model
        for number, (field, _) in enumerate(self._attention):
            sequence, present, weight, target = (
                terms.pop(name.format(number))
                for name in (SEQUENCE, PRESENT, WEIGHT, TARGET)
            )
            unit = model.embedding_layer.attention_units[number]
            # (batch, embedding_dim), then (batch, 1)
            vector = ops.cast(unit(sequence, target, present), weight.dtype)
            weight = ops.broadcast_to(weight, ops.shape(vector[:, :1]))
            # (batch, 1, embedding_dim + 1)
            columns = ops.concatenate([vector, weight], axis=1)[:, None]
            own = model.terms(columns, [field], self._kernels[number])
            terms = add_terms(terms, own)
        return model.from_terms(terms)


def attention_of(model: CTRModel) -> tuple[tuple[int, int], ...]:
    """Positions of the fields that attend, each with its candidate's."""
    attention: tuple[tuple[int, int], ...] = model.embedding_layer.attention
    return attention
