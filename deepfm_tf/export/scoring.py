"""Packed inputs to probabilities, as the signatures compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.calibration import Calibration
from deepfm_tf.models import CTRModel, FieldTerms, JoinedTerms
from deepfm_tf.schema import Schema

# Packed inputs -> (batch,) probabilities.
Score = Callable[[Mapping[str, Any]], tf.Tensor]


def make_score(
    model: CTRModel,
    table: Any = None,
    assume_all_present: bool = False,
    calibration: Calibration | None = None,
) -> Score:
    """What `model` computes in inference, with fewer passes over memory.

    Args:
        model: a trained model.
        table: Variable to read instead of the model's table.
        assume_all_present: bool. Whether no id will be -1.
        calibration: what its probabilities go through. Optional.
    """
    if not model.can_be_taken_apart:
        return lambda packed: to_probability(
            _logits(model(packed, training=False)["probability"]), calibration
        )
    names = [field.name for field in model.schema.fields]
    terms = FieldTerms(model, names, table, assume_all_present)
    joined = JoinedTerms(model)
    return lambda packed: to_probability(joined(terms(packed)), calibration)


def to_probability(
    logits: tf.Tensor, calibration: Calibration | None = None
) -> tf.Tensor:
    """(batch,) from (batch, 1) logits, corrected for sampled negatives."""
    logits = tf.reshape(logits, [-1])
    if calibration is not None:
        return calibration.from_logits(logits)
    return keras.ops.sigmoid(logits)


def _logits(probability: tf.Tensor) -> tf.Tensor:
    """Infinite where the probability is 0 or 1."""
    return tf.math.log(probability) - tf.math.log1p(-probability)


def is_always_present(schema: Schema, names: Any = None) -> bool:
    """Whether looked-up values never get the id -1, nor weights.

    Args:
        schema: a Schema.
        names: the fields that matter. Defaults to all.
    """
    return not any(
        not field.has_one_id or field.missing == "nothing"
        for field in schema.id_fields
        if names is None or field.name in names
    )
