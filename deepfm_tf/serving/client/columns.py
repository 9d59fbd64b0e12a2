"""Frames, dicts and rows to columns by input, and to tf.train.Examples."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Union

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError, did_you_mean
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.client.errors import shown
from deepfm_tf.serving.client.signature import Signature, TensorInfo
from deepfm_tf.serving.served_fields import NO_FIELDS, ServedFields

# What the client takes for rows: a frame, columns, or rows as dicts.
Data = Union[  # noqa: UP007
    pd.DataFrame, pa.Table, Mapping[str, Any], Sequence[Mapping[str, Any]]
]


def as_columns(data: Any, inputs: Collection[str]) -> dict[str, Any]:
    """Column name -> values, of any kind of data.

    Args:
        data: a DataFrame, an Arrow table, a dict of columns, or rows as
            dicts. Where a model has but one input, also its bare values.
        inputs: the names of the inputs.

    Raises:
        ValueError: two columns of one name, or a row that lacks a key.
        TypeError: data of another kind.

    Example:

    >>> as_columns([{"site": "a"}, {"site": None}], ["site"])
    {'site': ['a', None]}
    """
    if isinstance(data, (pd.DataFrame, pa.Table)):
        return _frame_columns(data)
    if isinstance(data, Mapping):
        return {str(name): values for name, values in data.items()}
    is_list = isinstance(data, (list, tuple))
    if is_list and data and all(isinstance(row, Mapping) for row in data):
        return _row_columns(data)
    if is_list and not data:
        return {name: [] for name in inputs}
    if len(inputs) == 1 and (is_list or isinstance(data, np.ndarray)):
        return {next(iter(inputs)): data}
    raise UserTypeError(
        "The data must be a DataFrame, a dict of columns or a list of dicts, "
        f"one a row. Received: {type(data).__name__}."
    )


def match_columns(
    columns: Collection[str],
    inputs: Collection[str],
    fields: ServedFields = NO_FIELDS,
) -> dict[str, str]:
    """Input name -> the column that is meant for it, where there is one.

    Args:
        columns: the names of the columns.
        inputs: the names of the inputs.
        fields: where the model tells them, the column of an input is the one
            called like its field or, without one, like the input itself.
            Elsewhere names of inputs hold only letters, digits and `_`:
            where no column is called like an input, the one whose name
            becomes it is taken.

    Raises:
        ValueError: two columns are meant for one input.

    Example:

    >>> match_columns(["site", "age (years)"], ["site", "age__years_", "ad"])
    {'site': 'site', 'age__years_': 'age (years)'}
    """
    if fields:
        named = {name: fields.column(name) for name in inputs}
        return {
            name: column if column in columns else name
            for name, column in named.items()
            if column in columns or name in columns
        }
    by_input = collections.defaultdict(list)
    for column in columns:
        if column not in inputs:
            by_input[re.sub(r"[^A-Za-z0-9_]", "_", column)].append(column)
    matches = {}
    for name in inputs:
        if name in columns:
            matches[name] = name
            continue
        found = by_input.get(name) or by_input.get(name.removeprefix("field_"))
        if found and len(found) > 1:
            raise UserError(
                f"One column must be meant for the input '{name}'. Received: "
                f"{shown(found)}. Call the right one '{name}'."
            )
        if found:
            matches[name] = found[0]
    return matches


def missing_message(missing: Collection[str], columns: Collection[str]) -> str:
    """What to say of inputs for which there is no column."""
    hints = "".join(
        f" For '{name}':{hint}"
        for name in list(missing)[:5]
        if (hint := did_you_mean(name, columns))
    )
    return (
        f"The model needs the columns {shown(missing)}, which the data does "
        f"not have.{hints} The data's other columns are: {shown(columns)}."
    )


def check_missing(
    missing: Collection[str],
    columns: Collection[str],
    fields: ServedFields = NO_FIELDS,
) -> None:
    """Raise a ValueError for inputs that a request may not leave out.

    Args:
        missing: inputs for which there is no column.
        columns: the data's other columns. One that is nearly called like a
            missing one was meant for it.
        fields: the model's fields; none where it does not tell them.
    """
    needed = [n for n in missing if fields and not fields.may_lack([n])]
    names = [fields.column(name) for name in needed or missing]
    if needed or any(did_you_mean(n, columns, cutoff=0.8) for n in names):
        raise UserError(missing_message(names, columns))


def num_rows_of(
    arrays: Mapping[str, Array], inputs: Mapping[str, TensorInfo]
) -> int:
    """The rows that all columns have; a ValueError if they differ."""
    lengths = {
        name: len(array)
        for name, array in arrays.items()
        if inputs[name].is_batched and array.ndim
    }
    check_lengths(lengths)
    return next(iter(lengths.values()), 1)


def check_lengths(lengths: Mapping[str, int]) -> None:
    """Raise a ValueError unless all columns have as many rows."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{n}' has {k}" for n, k in lengths.items())
        raise UserError(
            "All columns must have the same number of rows. Received: "
            f"{listed}."
        )


def rank_columns(
    context: Any,
    candidates: Data,
    signature: Signature,
    name: str,
    fields: ServedFields = NO_FIELDS,
) -> dict[str, Any]:
    """The context's values and the candidates' columns, by input name.

    Which inputs are the context's shows in the signature: their first
    dimension is one.

    Args:
        context: one value for each field of the context.
        candidates: rows, as for `predict`.
        signature: the signature called `name`.
        fields: the model's fields; none where it does not tell them.

    Raises:
        ValueError: the signature has no context inputs or nothing else, or a
            field stands on the wrong side.
    """
    fixed = signature.context
    rest = [n for n in signature.inputs if n not in fixed]
    if not fixed or not rest:
        raise UserError(
            f"The signature '{name}' must have context inputs of shape (1,) "
            f"beside candidate inputs of shape (N,). Received: {shown(fixed)} "
            f"and {shown(rest)}. Use `predict`, or export the model with "
            "`context_fields`."
        )
    one = _select(as_columns(_one_row(context), fixed), fixed, rest, fields)
    many = _select(as_columns(candidates, rest), rest, fixed, fields)
    for field in sorted((one.keys() & rest) - many.keys()):
        raise UserError(
            f"'{fields.column(field)}' differs between candidates in the "
            f"signature '{name}', so it belongs in `candidates`. Received: "
            "it in `context`."
        )
    for field in sorted((many.keys() & fixed) - one.keys()):
        raise UserError(
            f"'{fields.column(field)}' is one value for all candidates in "
            f"the signature '{name}', so it belongs in `context`. "
            "Received: it in `candidates`."
        )
    return {
        **{n: v for n, v in many.items() if n not in fixed},
        **{n: v for n, v in one.items() if n not in rest},
    }


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


def _frame_columns(frame: pd.DataFrame | pa.Table) -> dict[str, Any]:
    is_arrow = isinstance(frame, pa.Table)
    names = frame.column_names if is_arrow else list(map(str, frame.columns))
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise UserError(
            f"Each column must have a name of its own. Received twice: "
            f"{shown(sorted(double))}."
        )
    if is_arrow:
        return {name: frame.column(name) for name in names}
    return {name: frame.iloc[:, n] for n, name in enumerate(names)}


def _row_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(str(key) for row in rows for key in row)
    columns: dict[str, Any] = {}
    for name in names:
        try:
            columns[name] = [row[name] for row in rows]
        except KeyError:
            row = next(n for n, row in enumerate(rows) if name not in row)
            raise UserError(
                f"Each row must have the same keys, but row {row} (counted "
                f"from 0) lacks '{name}'. Write None where a value is missing."
            ) from None
    return columns


def _select(
    columns: Mapping[str, Any],
    inputs: list[str],
    others: list[str],
    fields: ServedFields,
) -> dict[str, Any]:
    """The columns by the names of the inputs that they are for."""
    matches = match_columns(columns, [*inputs, *others], fields)
    result = {n: columns[column] for n, column in matches.items()}
    for column in columns:
        if column not in matches.values():
            result[column] = columns[column]
    return result


def _one_row(context: Any) -> Any:
    """A Series stands for its row."""
    if hasattr(context, "to_dict") and getattr(context, "ndim", 0) == 1:
        return context.to_dict()
    return context


def _lists_of_fields(
    data: Any, inputs: Mapping[str, TensorInfo], fields: ServedFields
) -> dict[str, list[Any]]:
    """Field name -> values; columns of no field are left out."""
    columns = as_columns(data, [field.name for field in fields.fields])
    names = [field.input for field in fields.fields]
    matches = match_columns(columns, names, fields)
    missing = [name for name in names if name not in matches]
    check_missing(
        missing, [c for c in columns if c not in matches.values()], fields
    )
    return {
        fields.column(name): to_array(
            column, columns[column], inputs[name], fields.by_input[name]
        ).tolist()
        for name, column in matches.items()
    }


def _lists_of_columns(
    data: Any, inputs: Mapping[str, TensorInfo]
) -> dict[str, list[Any]]:
    """Column name -> values, converted where an input tells the kind."""
    columns = as_columns(data, ())
    flat = {n: s for n, s in inputs.items() if s.shape == (None,)}
    matches = match_columns(columns, flat)
    lists: dict[str, list[Any]] = {
        name: to_array(name, columns[column], flat[name]).tolist()
        for name, column in matches.items()
    }
    for name, values in columns.items():
        if name not in matches.values():
            lists[name] = _to_list(values)
    return lists


def _to_list(values: Any) -> list[Any]:
    for name in ("to_pylist", "tolist"):
        if hasattr(values, name):
            values = getattr(values, name)()
    return list(values)


def _example(row: Mapping[str, Any], with_missing: bool) -> bytes:
    features = {}
    for name, value in row.items():
        values = list(value) if _is_list(value) else [value]
        if not with_missing:
            values = [v for v in values if not _is_missing(v)]
        if values:
            features[name] = _feature(name, values)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString())


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, np.ndarray))


def _is_missing(value: Any) -> bool:
    # pandas' NA and NaT are neither equal nor unequal to themselves.
    return value is None or value == b"" or (value == value) is not True


def _feature(name: str, values: list[Any]) -> tf.train.Feature:
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
