"""The signature that says which values of a row training never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.export.requests import Request
from deepfm_tf.export.signatures import (
    PREDICT,
    Defaults,
    Encode,
    Signature,
    Tensors,
    column_specification,
    fill_rows,
    matrix_specification,
    to_matrices,
    traced,
)
from deepfm_tf.fields import Field
from deepfm_tf.lookup import number_fields, text_fields
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.vocabulary import OOV_ID, Vocabulary

# Its outputs: values that a row has of each field, and those never seen.
VALUES, UNSEEN = "values", "unseen"


def unseen_signature(
    encode: Encode, vocabulary: Vocabulary, defaults: Defaults
) -> Signature:
    """`unseen`: what a request holds that training did not.

    Args:
        encode: see `traced_encode`.
        vocabulary: the one that it looks up.
        defaults: field name -> value where a request leaves the field out.
    """
    schema = vocabulary.schema
    fields, names = schema.fields, schema.signature_names
    texts, numbers = text_fields(fields), number_fields(fields)
    order = np.argsort([fields.index(field) for field in (*texts, *numbers)])

    def of_numbers(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        low, high = np.transpose([_range(vocabulary, f) for f in numbers])
        is_there = tf.math.is_finite(x)
        is_unseen = is_there & ((x < low) | (x > high))
        return tf.cast(is_there, tf.int32), tf.cast(is_unseen, tf.int32)

    def of_ids(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = PackedLayout(fields)
        columns = [
            np.arange(places.num_ids)[places.columns(field.name)["ids"]][
                # Of a time every part is an id.
                : 1 if field.is_time else None
            ]
            for field in texts
        ]
        owners = np.repeat(np.arange(len(texts)), [*map(len, columns)])
        first = np.array([vocabulary.first_id(f) for f in texts], np.int32)
        # (batch, columns that count)
        ids = tf.gather(ids, np.concatenate(columns), axis=1)
        is_unseen = tf.equal(ids, OOV_ID)
        is_there = is_unseen | (ids >= first[owners])
        return _count(is_there, owners), _count(is_unseen, owners)

    @traced([matrix_specification(fields)])
    def count(raw: Tensors) -> Tensors:
        found = []
        if texts:
            found.append(of_ids(encode(raw)["ids"]))
        if numbers:
            found.append(of_numbers(raw["numbers"]))
        return {
            name: tf.gather(tf.concat(counts, axis=1), order, axis=1)
            for name, *counts in zip((VALUES, UNSEEN), *found, strict=True)
        }

    @tf.function(
        input_signature=[column_specification(fields, names)], autograph=False
    )
    def unseen(raw: Tensors) -> Tensors:
        columns = {f.name: raw[names[f.name]] for f in fields}
        counts: Tensors = count(
            to_matrices(fill_rows(columns, defaults), fields)
        )
        return counts

    named = {names[name]: value for name, value in defaults.items()}
    return Signature("unseen", PREDICT, unseen, named)


def check_unseen(
    vocabulary: Vocabulary, request: Request, outputs: Mapping[str, Array]
) -> None:
    """Raise RuntimeError unless numpy counts the same.

    Args:
        vocabulary: of the model.
        request: what was asked.
        outputs: what the signature answered.
    """
    fields = vocabulary.schema.fields
    layout, rows = PackedLayout(fields), request.rows
    for number, field in enumerate(fields):
        if field.is_text:
            ids = rows.packed["ids"][:, layout.columns(field.name)["ids"]]
            ids = ids[:, :1] if field.is_time else ids
            unseen = (ids == OOV_ID).sum(axis=1)
            values = unseen + (ids >= vocabulary.first_id(field)).sum(axis=1)
        else:
            x = rows.raw[field.name]
            low, high = _range(vocabulary, field)
            values = np.isfinite(x)
            unseen = values & ((x < low) | (x > high))
        for name, expected in ((VALUES, values), (UNSEEN, unseen)):
            if not np.array_equal(outputs[name][:, number], expected):
                raise RuntimeError(
                    "The signature 'unseen' must count as training does; "
                    f"nothing was published. Received of '{field.name}': "
                    f"{outputs[name][:, number].tolist()} where `{name}` "
                    f"are {expected.tolist()}. Please report this."
                )


def _range(vocabulary: Vocabulary, field: Field) -> tuple[Any, Any]:
    """Of training's numbers; without any, none is outside."""
    statistics = vocabulary.statistics[field.name]
    low = statistics.get("minimum", -np.inf)
    return np.float32(low), np.float32(statistics.get("maximum", np.inf))


def _count(mask: tf.Tensor, owners: Array) -> tf.Tensor:
    """(batch, fields): how many of each field's columns hold."""
    columns = tf.transpose(tf.cast(mask, tf.int32))
    return tf.transpose(tf.math.segment_sum(columns, owners))
