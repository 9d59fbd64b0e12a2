"""Fields of a data set as columns to slice by, in the data's own units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.fields import Field
from deepfm_tf.metrics import NamedIds
from deepfm_tf.metrics.slices import MISSING
from deepfm_tf.schema import Schema

_OOV = "OOV"


def slices_of_field(
    schema: Schema, name: str, column: Array, vocabulary: Any = None
) -> Array | NamedIds:
    """A field's column, as the model sees it, for `slice_metrics`.

    Args:
        schema: of the model.
        name: str. The field.
        column: (rows, columns). Its part of the packed inputs.
        vocabulary: a Vocabulary, which names values, undoes the scaling of
            numbers and knows the boundaries of buckets; or a mapping of names
            of fields to names of values; or None.

    Returns:
        (rows,) numbers of a numeric field; else NamedIds, those of a
        bucketized field in ascending order if there is a Vocabulary.
    """
    field = schema.field(name)
    known = not (vocabulary is None or isinstance(vocabulary, Mapping))
    if field in schema.numeric_fields:
        numbers = column[:, 0]
        return vocabulary.unscale(field, numbers) if known else numbers
    if known and field.is_bucketized:
        return _buckets(field, column, vocabulary)
    values = vocabulary.values if known else vocabulary or {}
    names = values.get(schema.owner(field).name, ())
    return NamedIds(column, [*_first_names(schema, field), *names])


def groups_of_field(schema: Schema, name: str, column: Array) -> Array:
    """Groups by a field with one value a row, for `grouped_auc`.

    Args:
        schema: of the model.
        name: str. The field.
        column: (rows, 1). Its part of the packed inputs.

    Returns:
        (rows,) ids or numbers; NaN where the value is missing, or OOV: one
        id stands for all values that are unseen, or rare, in training.
    """
    if column.shape[1] > 1:
        raise UserError(
            "`group_by` must name a field with one value a row. Received: "
            f"'{name}', which holds up to {column.shape[1]}."
        )
    field = schema.field(name)
    if field in schema.numeric_fields:
        return column[:, 0]
    first = 1 + schema.has_missing_id(field)
    return np.where(column[:, 0] < first, np.nan, column[:, 0])


def _buckets(field: Field, column: Array, vocabulary: Any) -> NamedIds:
    values = vocabulary.values[field.name]
    order = np.argsort([int(value) for value in values], kind="stable")
    names = np.array(vocabulary.value_names(field), object)[order]
    # Missing and OOV come after the buckets; the last entry is for id -1.
    first = vocabulary.first_id(field)
    ranks = np.empty(first + len(values) + 1, np.int64)
    ranks[first + order] = np.arange(len(values))
    ranks[0] = len(values) + 1
    ranks[1:first] = ranks[-1] = len(values)
    return NamedIds(ranks[column], [*names, MISSING, _OOV], ordered=True)


def _first_names(schema: Schema, field: Field) -> list[str]:
    return [_OOV, MISSING] if schema.has_missing_id(field) else [_OOV]
