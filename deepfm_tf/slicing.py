"""Fields of a data set as columns to slice by, in the data's own units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.fields import BucketizedField, Field
from deepfm_tf.metrics import NamedIds
from deepfm_tf.metrics.slices import MISSING, short_number
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
    if known and isinstance(field, BucketizedField):
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


def bucket_names(
    field: BucketizedField, values: Sequence[str], boundaries: Sequence[float]
) -> list[str]:
    """What the buckets of a field hold: the upper end is not in them.

    Args:
        field: the field.
        values: the buckets, as the numbers that a Vocabulary holds as text.
        boundaries: ascending; unused by `"log_square"`.

    Example:

    >>> field = BucketizedField("price", "boundaries", boundaries=(2, 4.5))
    >>> bucket_names(field, ["0", "1", "2"], field.boundaries)
    ['below 2', '2 to 4.5', 'from 4.5']
    >>> bucket_names(BucketizedField("n", "log_square"), ["-1", "0", "4"], ())
    ['-1 to 0', '0 to 1 and 2 to 2.72', '7.39 to 9.36']
    """
    numbers = [int(value) for value in values]
    if field.method == "log_square":
        return [_log_square_name(number) for number in numbers]
    edges = _texts(boundaries)
    names = [
        f"below {edges[0]}" if edges else "any number",
        *(
            f"{low} to {high}"
            for low, high in zip(edges, edges[1:], strict=False)
        ),
        f"from {edges[-1]}" if edges else "",
    ]
    return [names[number] for number in numbers]


def _buckets(
    field: BucketizedField, column: Array, vocabulary: Any
) -> NamedIds:
    values = vocabulary.values[field.name]
    boundaries = vocabulary.statistics[field.name].get("boundaries", ())
    order = np.argsort([int(value) for value in values], kind="stable")
    names = np.array(bucket_names(field, values, boundaries), object)[order]
    # Missing and OOV come after the buckets; the last entry is for id -1.
    first = vocabulary.first_id(field)
    ranks = np.empty(first + len(values) + 1, np.int64)
    ranks[first + order] = np.arange(len(values))
    ranks[0] = len(values) + 1
    ranks[1:first] = ranks[-1] = len(values)
    return NamedIds(ranks[column], [*names, MISSING, _OOV], ordered=True)


def _first_names(schema: Schema, field: Field) -> list[str]:
    return [_OOV, MISSING] if schema.has_missing_id(field) else [_OOV]


def _log_square_name(number: int) -> str:
    """Above 2, where floor(ln(x)^2) is `number`; else where floor(x) is."""
    parts = []
    if number <= 2:
        parts = [f"{number} to {number + 1}" if number < 2 else "2"]
    if number >= 0:
        ends = [math.exp(math.sqrt(n)) for n in (number, number + 1)]
        low, high = (short_number(max(2.0, end)) for end in ends)
        parts.append(f"{low} to {high}")
    return " and ".join(parts)


def _texts(numbers: Sequence[float]) -> list[str]:
    """With as few digits as keep them apart."""
    texts: list[str] = []
    for digits in range(3, 18):
        texts = [short_number(number, digits) for number in numbers]
        if len(set(texts)) == len(texts):
            break
    return texts
