"""Frames, dicts and rows to columns by input, and to tf.train.Examples."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Union

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from deepfm_tf.errors import UserError, UserTypeError, did_you_mean
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.signature import (
    NO_FIELDS,
    ServedFields,
    Signature,
    TensorInfo,
    shown,
)

# What the client takes for rows: a frame, columns, or rows as dicts.
Data = Union[  # noqa: UP007
    pd.DataFrame, pa.Table, Mapping[str, Any], Sequence[Mapping[str, Any]]
]
# Lists of a feature, what they may hold, and as what.
_KINDS: tuple[tuple[str, tuple[type, ...], Any], ...] = (
    ("bytes_list", (str, bytes), tf.compat.as_bytes),
    ("int64_list", (int, np.integer), int),
    ("float_list", (int, float, np.number), float),
)


def as_columns(data: Any, inputs: Collection[str]) -> dict[str, Any]:
    """Column name -> values, of any kind of data.

    Of a DataFrame, an Arrow table, a dict of columns, or rows as dicts;
    where a model has but one input, also of its bare values. A ValueError
    tells two columns of one name, or a row that lacks a key.

    >>> as_columns([{"site": "a"}, {"site": None}], ["site"])
    {'site': ['a', None]}
    """
    if isinstance(data, pa.Table):
        return _unique(data.column_names, data.columns)
    if isinstance(data, pd.DataFrame):
        columns = [data.iloc[:, n] for n in range(data.shape[1])]
        return _unique(map(str, data.columns), columns)
    if isinstance(data, Mapping):
        return {str(name): values for name, values in data.items()}
    if isinstance(data, (list, tuple)):
        if not data:
            return {name: [] for name in inputs}
        if all(isinstance(row, Mapping) for row in data):
            return _row_columns(data)
    if len(inputs) == 1 and isinstance(data, (list, tuple, np.ndarray)):
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

    Where the model tells its fields, the column of an input is the one called
    like its field or, without one, like the input itself. Elsewhere names of
    inputs hold only letters, digits and `_`: where no column is called like
    an input, the one whose name becomes it is taken, if it is the only one.

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
        found = by_input[name] or by_input[name.removeprefix("field_")]
        if name in columns:
            found = [name]
        if len(found) > 1:
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
    is_told: bool = False,
) -> None:
    """Raise a ValueError for inputs that a request may not leave out.

    A column that is nearly called like a missing one was meant for it. Where
    the model does not tell its fields, what may be left out is known only
    if it `is_told`: that all of `missing` are needed.
    """
    needed = [
        name
        for name in missing
        if is_told or (fields and not fields.may_lack([name]))
    ]
    names = [fields.column(name) for name in needed or missing]
    if needed or any(did_you_mean(n, columns, cutoff=0.8) for n in names):
        raise UserError(missing_message(names, columns))


def check_lengths(lengths: Mapping[str, int]) -> int:
    """The rows that all columns have; a ValueError if they differ."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{n}' has {k}" for n, k in lengths.items())
        raise UserError(
            "All columns must have the same number of rows. Received: "
            f"{listed}."
        )
    return next(iter(lengths.values()), 1)


def rank_columns(
    context: Any,
    candidates: Data,
    signature: Signature,
    name: str,
    fields: ServedFields = NO_FIELDS,
) -> dict[str, Any]:
    """The context's values and the candidates' columns, by input name.

    Which inputs are the context's shows in the signature called `name`: their
    first dimension is one. A ValueError where there are none, or nothing else,
    or where a field stands on the wrong side.
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
    if isinstance(context, pd.Series):
        context = context.to_dict()
    one = _by_input(as_columns(context, fixed), signature, fields)
    many = _by_input(as_columns(candidates, rest), signature, fields)
    for names, differs, right, wrong in (
        ((one.keys() & rest) - many.keys(), "differs between")
        + ("candidates", "context"),
        ((many.keys() & fixed) - one.keys(), "is one value for all")
        + ("context", "candidates"),
    ):
        for field in sorted(names):
            raise UserError(
                f"'{fields.column(field)}' {differs} candidates in the "
                f"signature '{name}', so it belongs in `{right}`. Received: it "
                f"in `{wrong}`."
            )
    return {
        **{n: v for n, v in many.items() if n not in fixed},
        **{n: v for n, v in one.items() if n not in rest},
    }


def to_examples(
    data: Any,
    inputs: Mapping[str, TensorInfo],
    fields: ServedFields = NO_FIELDS,
) -> list[tf.train.Example]:
    """Rows as examples.

    Rows are as `PredictClient.predict` takes them, or `tf.train.Example`s,
    serialized or not. Lists in a row become features of several values. A
    model reads a feature as text, float or integer, and refuses the others.
    Where the model tells its fields, the features are called like them, and a
    missing value is sent as such, `""` or NaN: left out it would be the
    field's default. Elsewhere what is missing is left out; values become what
    an input of the same name takes, or else text of `str` and `bytes`, floats
    of `float`, integers of `int` and `bool`.

    >>> (example,) = to_examples([{"price": 3, "site": "a"}], {})
    >>> example.features.feature["price"].int64_list.value
    [3]
    """
    if isinstance(data, (list, tuple)) and data:
        if all(isinstance(e, tf.train.Example) for e in data):
            return list(data)
        if all(isinstance(e, bytes) for e in data):
            return list(map(tf.train.Example.FromString, data))
    wanted = list(fields.by_input) or [
        name for name, info in inputs.items() if info.shape == (None,)
    ]
    known = [fields.column(name) for name in wanted] if fields else []
    columns = as_columns(data, known)
    matches = match_columns(columns, wanted, fields)
    rest = [name for name in columns if name not in matches.values()]
    lists = {
        fields.column(name): to_array(
            column, columns[column], inputs[name], fields.by_input.get(name)
        ).tolist()
        for name, column in matches.items()
    }
    if fields:
        check_missing([n for n in wanted if n not in matches], rest, fields)
    else:
        lists |= {name: _to_list(columns[name]) for name in rest}
    check_lengths({name: len(values) for name, values in lists.items()})
    return [
        _example(dict(zip(lists, row, strict=True)), bool(fields))
        for row in zip(*lists.values(), strict=True)
    ]


def _unique(names: Iterable[str], columns: Iterable[Any]) -> dict[str, Any]:
    names = list(names)
    if double := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"Each column must have a name of its own. Received twice: "
            f"{shown(sorted(double))}."
        )
    return dict(zip(names, columns, strict=True))


def _row_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(str(key) for row in rows for key in row)
    try:
        return {name: [row[name] for row in rows] for name in names}
    except KeyError as error:
        (name,) = error.args
        number = next(n for n, row in enumerate(rows) if name not in row)
        raise UserError(
            f"Each row must have the same keys, but row {number} (counted "
            f"from 0) lacks '{name}'. Write None where a value is missing."
        ) from None


def _by_input(
    columns: Mapping[str, Any], signature: Signature, fields: ServedFields
) -> dict[str, Any]:
    """The columns by the names of the inputs that they are for."""
    matches = match_columns(columns, signature.inputs, fields)
    rest = columns.keys() - matches.values()
    found = {name: columns[column] for name, column in matches.items()}
    return {name: columns[name] for name in rest} | found


def _to_list(values: Any) -> list[Any]:
    for name in ("to_pylist", "tolist"):
        if hasattr(values, name):
            values = getattr(values, name)()
    return list(values)


def _example(row: Mapping[str, Any], with_missing: bool) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in row.items():
        is_list = isinstance(value, (list, np.ndarray))
        values = list(value) if is_list else [value]
        if not with_missing:
            values = [v for v in values if not _is_missing(v)]
        if not values:
            continue
        for kind, types, converted in _KINDS:
            if all(isinstance(v, types) for v in values):
                feature = getattr(example.features.feature[name], kind)
                feature.value.extend(map(converted, values))
                break
        else:
            got = f"Received: {values[0]!r}."
            raise UserError(f"Column '{name}' must hold text or numbers. {got}")
    return example


def _is_missing(value: Any) -> bool:
    # pandas' NA and NaT are neither equal nor unequal to themselves.
    return value is None or value == b"" or (value == value) is not True
