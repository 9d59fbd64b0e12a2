"""The signature that says which input each field has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.drift import DataCounts, training_counts
from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.signatures import PREDICT, Defaults, Signature, Tensors
from deepfm_tf.vocabulary import Vocabulary

# What the description looks like; a number more when that changes.
_FORMAT = 1


def describe_fields(
    vocabulary: Vocabulary, defaults: Defaults
) -> list[dict[str, Any]]:
    """For each field what a client must know to send its values.

    Args:
        vocabulary: the model's.
        defaults: field name -> value where a request leaves the field out.

    Returns:
        For each field its `name`, its `input` and its `type`; `default`, if
        it has one (None is missing); for several values in one text
        `separator` and `weight_separator`; for numbers `missing_values`, the
        texts that stand for a missing one; and `training`, what its data lead
        one to expect (see `drift.training_counts`).
    """
    schema, counts = vocabulary.schema, DataCounts(vocabulary)
    expected = training_counts(
        {field.name: counts.training(field.name) for field in schema.fields}
    )
    names = schema.signature_names
    described = []
    for field in schema.fields:
        entry: dict[str, Any] = {
            "name": field.name,
            "input": names[field.name],
            "type": field.type_name,
        }
        if field.separator is not None:
            entry["separator"] = field.separator
            entry["weight_separator"] = field.weight_separator
        elif not field.is_text:
            entry["missing_values"] = list(schema.missing_values)
        if field.name in defaults:
            entry["default"] = _plain(defaults[field.name])
        entry["training"] = expected[field.name]
        described.append(entry)
    return described


def fields_signature(vocabulary: Vocabulary, defaults: Defaults) -> Signature:
    """`fields`: for each row of anything the description, as JSON.

    It has a row for each row, and not just one answer, so that a server that
    batches requests takes it as it takes others.

    Args:
        vocabulary: the model's.
        defaults: field name -> value where a request leaves the field out.
    """
    text = json.dumps(
        {"format": _FORMAT, "fields": describe_fields(vocabulary, defaults)},
        ensure_ascii=False,
    )

    @tf.function(
        input_signature=[
            {"rows": tf.TensorSpec((None,), tf.string, name="rows")}
        ],
        autograph=False,
    )
    def fields(raw: Tensors) -> Tensors:
        return {"fields": tf.fill(tf.shape(raw["rows"]), text)}

    return Signature("fields", PREDICT, fields)


def make_fields_request(rows: Rows) -> Request:
    """The one request that a client sends to it."""
    return Request("fields", rows.head(1), {"rows": np.array([""], object)})


def check_fields(loaded: Any, outputs: Mapping[str, Array]) -> None:
    """Raise RuntimeError unless the inputs are those of `serving_default`.

    Args:
        loaded: what `tf.saved_model.load` gave.
        outputs: what the signature answered.
    """
    described = json.loads(outputs["fields"][0])["fields"]
    told = sorted(entry["input"] for entry in described)
    signature = loaded.signatures["serving_default"]
    inputs = sorted(signature.structured_input_signature[1])
    if told != inputs:
        raise RuntimeError(
            "The signature 'fields' must list the inputs of "
            f"'serving_default'; nothing was published. Received: {told} "
            f"where there are {inputs}. Please report this."
        )


def _plain(value: Any) -> Any:
    """JSON has no NaN, and no numbers of numpy's."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value or value in (math.inf, -math.inf) else value
