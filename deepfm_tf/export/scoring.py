"""Packed inputs to probabilities, as the signatures compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.fields import MultiValuedField
from deepfm_tf.models import CTRModel, FieldTerms
from deepfm_tf.schema import Schema

# Packed inputs -> (batch,) probabilities.
Score = Callable[[Mapping[str, Any]], tf.Tensor]


def make_score(
    model: CTRModel, table: Any = None, complete: bool = False
) -> Score:
    """What `model` computes in inference, with fewer passes over memory.

    Args:
        model: a trained model.
        table: Variable to read instead of the model's table.
        complete: bool. Whether no id will be -1.
    """
    if not has_terms(model):
        return lambda packed: tf.reshape(
            model(packed, training=False)["probability"], [-1]
        )
    names = [field.name for field in model.schema.fields]
    terms = FieldTerms(model, names, table, complete)
    return lambda packed: probability(model, terms(packed))


def probability(model: CTRModel, terms: Mapping[str, Any]) -> tf.Tensor:
    """(batch,) from the terms of all fields."""
    return keras.ops.sigmoid(tf.reshape(model.from_terms(terms), [-1]))


def has_terms(model: CTRModel) -> bool:
    """Whether the model can be computed for some of its fields at a time."""
    return type(model).terms is not CTRModel.terms


def is_complete(schema: Schema, names: Any = None) -> bool:
    """Whether looked-up values never get the id -1, nor weights.

    Args:
        schema: a Schema.
        names: the fields that matter. Defaults to all.
    """
    return not any(
        isinstance(field, MultiValuedField) or field.missing == "nothing"
        for field in schema.id_fields
        if names is None or field.name in names
    )
