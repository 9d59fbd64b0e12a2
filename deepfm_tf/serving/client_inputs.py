"""A column of raw values to an input, read as training reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from deepfm_tf.errors import UserError
from deepfm_tf.serving.client_arrays import to_array
from deepfm_tf.serving.client_fields import ServedField
from deepfm_tf.serving.client_signature import TensorInfo

_TEXT = TensorInfo("string", (None,))


def to_input(
    name: str, values: Any, info: TensorInfo, field: ServedField | None = None
) -> np.ndarray:
    """A column as the array that its input wants, read as training reads it.

    Args:
        name: str. The column, for messages.
        values: as for `to_array`; lists of values, where the field has a
            separator.
        info: the input's dtype and shape.
        field: what the model tells of it, if it does.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> field = ServedField("tags", "tags", separator="|")
    >>> info = TensorInfo("string", (None,))
    >>> to_input("tags", [["a", "b"], [], "a|c"], info, field).tolist()
    [b'a|b', b'', b'a|c']
    """
    if field is not None and field.separator is not None:
        if info.is_context and _is_list(values) and len(values) != 1:
            values = [list(values)]  # The several values of the one row.
        values = _joined(name, values, field.separator)
    if field is not None and field.missing_values:
        values = _without(values, field.missing_values)
    return to_array(name, values, info)


def _joined(name: str, values: Any, separator: str) -> Any:
    """Lists of values as texts; a column without lists stays as it is."""
    rows = _rows_with_lists(values)
    if rows is None:
        return values
    lists = [list(row) if _is_list(row) else [row] for row in rows]
    texts = to_array(name, [v for row in lists for v in row], _TEXT).tolist()
    mark = separator.encode()
    joined, start = [], 0
    for number, (row, values_of_row) in enumerate(
        zip(rows, lists, strict=True)
    ):
        parts = texts[start : start + len(values_of_row)]
        start += len(parts)
        for part in parts if _is_list(row) else ():
            if mark in part:
                raise UserError(
                    f"Column '{name}' must hold lists whose values do not "
                    f"hold the separator {separator!r}, as they would be "
                    f"split there. Received: "
                    f"{part.decode(errors='replace')!r} in row {number} "
                    "(counted from 0)."
                )
        # A missing value of a list is no value.
        joined.append(mark.join(part for part in parts if part))
    return joined


def _rows_with_lists(values: Any) -> list | None:
    """The rows, if there are lists among them."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.to_pylist() if pa.types.is_nested(values.type) else None
    if isinstance(values, pd.Series):
        is_arrow = isinstance(values.dtype, pd.ArrowDtype)
        if values.dtype != object and not is_arrow:
            return None
        values = values.tolist()
    if isinstance(values, np.ndarray):
        if values.dtype != object and values.ndim < 2:
            return None
        values = list(values)
    if not isinstance(values, (list, tuple)):
        return None
    return list(values) if any(map(_is_list, values)) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray, pa.ListScalar))


def _without(values: Any, missing: Sequence[str]) -> Any:
    """The values, None in place of a text that stands for missing."""
    unchanged = values
    dtype = getattr(values, "dtype", None)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        if not _is_arrow_text(values.type):
            return values
        values = values.to_pylist()
    elif isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return values
    elif hasattr(values, "tolist") and getattr(values, "ndim", 1) == 1:
        values = values.tolist()
    if isinstance(values, (str, bytes)):
        return None if _text(values) in missing else values
    if not isinstance(values, (list, tuple)):
        return values
    marks = frozenset(missing)
    is_marked = [_text(value) in marks for value in values]
    if not any(is_marked):
        return unchanged
    return [
        None if marked else value
        for value, marked in zip(values, is_marked, strict=True)
    ]


def _text(value: Any) -> str | None:
    """A text without the blanks around it; None of anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value.strip() if isinstance(value, str) else None


def _is_arrow_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
