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
    Signature,
    Tensors,
    column_specification,
    fill_rows,
    to_matrices,
)
from deepfm_tf.fields import Field
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.vocabulary import OOV_ID, Vocabulary

# Its outputs: values that a row has of each field, and those never seen.
VALUES, UNSEEN = "values", "unseen"


def unseen_signature(
    lookup: GraphLookup, vocabulary: Vocabulary, defaults: Defaults
) -> Signature:
    """`unseen`: what a request holds that training did not.

    Args:
        lookup: raw values to packed inputs.
        vocabulary: the one that it looks up.
        defaults: field name -> value where a request leaves the field out.
    """
    schema = vocabulary.schema
    fields, names = schema.fields, schema.signature_names
    layout = PackedLayout(fields)

    def of_numbers(field: Field, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        low, high = _range(vocabulary, field)
        is_there = tf.math.is_finite(x)
        return is_there, is_there & ((x < low) | (x > high))

    def of_ids(field: Field, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if field.is_time:  # whose every part is an id
            ids = ids[:, :1]
        is_unseen = tf.equal(ids, OOV_ID)
        is_known = ids >= vocabulary.first_id(field)
        return is_unseen | is_known, is_unseen

    @tf.function(
        input_signature=[column_specification(fields, names)], autograph=False
    )
    def unseen(raw: Tensors) -> Tensors:
        columns = {f.name: raw[names[f.name]] for f in fields}
        columns = fill_rows(columns, defaults)
        matrices = to_matrices(columns, fields)
        packed = lookup.encode(matrices.get("texts"), matrices.get("numbers"))
        counts = []
        for field in fields:
            if field.is_text:
                ids = packed["ids"][:, layout.columns(field.name)["ids"]]
                found = of_ids(field, ids)
            else:
                found = of_numbers(field, columns[field.name][:, None])
            counts.append([_count(mask) for mask in found])
        values, beyond = zip(*counts, strict=True)
        return {VALUES: tf.stack(values, 1), UNSEEN: tf.stack(beyond, 1)}

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


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
