"""Frames, dicts and rows to the arrays that a signature's inputs want."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Union

import numpy as np
import pandas as pd
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.serving.client.errors import did_you_mean, shown
from deepfm_tf.serving.client.signature import TensorInfo
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
