"""Rows of raw values to serialized `tf.train.Example`s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.errors import UserError
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.client.columns import (
    as_columns,
    check_lengths,
    check_missing,
    match_columns,
)
from deepfm_tf.serving.client.inputs import to_input
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import NO_FIELDS, ServedFields


def to_examples(
    data: Any,
    inputs: Mapping[str, TensorInfo],
    fields: ServedFields = NO_FIELDS,
) -> list[bytes]:
    """Serialized examples.

    A model reads a feature as text, float or integer, and refuses the
    others. Where the model tells its fields, the features are called like
    them, and a missing value is sent as such, `""` or NaN: left out it would
    be the field's default. Elsewhere, what is missing in a row is left out of
    it; where an input of the same name tells the kind, values are converted
    to it; else `str` and `bytes` become text, `float` floats, `int` and
    `bool` integers.

    Args:
        data: rows as `PredictClient.predict` takes them, or a list of
            `tf.train.Example`, serialized or not. Lists in a row become
            features of several values.
        inputs: inputs whose names and dtypes tell the kinds of features.
        fields: the model's fields; none where it does not tell them.

    Raises:
        ValueError: the model needs a column that the data does not have.

    Example:

    >>> example = tf.train.Example.FromString(
    ...     to_examples([{"price": 3, "site": "a"}], {})[0])
    >>> example.features.feature["price"].int64_list.value
    [3]
    """
    if isinstance(data, (list, tuple)) and data:
        if all(isinstance(e, tf.train.Example) for e in data):
            return [example.SerializeToString() for example in data]
        if all(isinstance(e, bytes) for e in data):
            return list(data)
    lists = (
        _lists_of_fields(data, inputs, fields)
        if fields
        else _lists_of_columns(data, inputs)
    )
    check_lengths({name: len(values) for name, values in lists.items()})
    names = list(lists)
    return [
        _example(dict(zip(names, row, strict=True)), bool(fields))
        for row in zip(*lists.values(), strict=True)
    ]


def _lists_of_fields(
    data: Any, inputs: Mapping[str, TensorInfo], fields: ServedFields
) -> dict[str, list]:
    """Field name -> values; columns of no field are left out."""
    columns = as_columns(data, [field.name for field in fields.fields])
    names = [field.input for field in fields.fields]
    matches = match_columns(columns, names, fields)
    missing = [name for name in names if name not in matches]
    check_missing(
        missing, [c for c in columns if c not in matches.values()], fields
    )
    return {
        fields.column(name): to_input(
            column, columns[column], inputs[name], fields.by_input[name]
        ).tolist()
        for name, column in matches.items()
    }


def _lists_of_columns(
    data: Any, inputs: Mapping[str, TensorInfo]
) -> dict[str, list]:
    """Column name -> values, converted where an input tells the kind."""
    columns = as_columns(data, ())
    flat = {n: s for n, s in inputs.items() if s.shape == (None,)}
    matches = match_columns(columns, flat)
    lists: dict[str, list] = {
        name: to_array(name, columns[column], flat[name]).tolist()
        for name, column in matches.items()
    }
    for name, values in columns.items():
        if name not in matches.values():
            lists[name] = _to_list(values)
    return lists


def _to_list(values: Any) -> list:
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _example(row: Mapping[str, Any], with_missing: bool) -> bytes:
    features = {}
    for name, value in row.items():
        values = list(value) if _is_list(value) else [value]
        if not with_missing:
            values = [v for v in values if not _is_missing(v)]
        if values:
            features[name] = _feature(name, values)
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, np.ndarray))


def _is_missing(value: Any) -> bool:
    # pandas' NA and NaT are neither equal nor unequal to themselves.
    return value is None or value == b"" or (value == value) is not True


def _feature(name: str, values: list) -> tf.train.Feature:
    if all(isinstance(v, (str, bytes)) for v in values):
        encoded = [v if isinstance(v, bytes) else v.encode() for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if all(isinstance(v, (bool, int, np.integer)) for v in values):
        return tf.train.Feature(
            int64_list=tf.train.Int64List(value=[int(v) for v in values])
        )
    if all(isinstance(v, (int, float, np.number)) for v in values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    raise UserError(
        f"Column '{name}' must hold text or numbers. Received: {values[0]!r}."
    )
