"""A column of raw values to the array that a signature's input wants."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.raw_values import (
    Bad,
    NoTextError,
    missing_to_null,
    shown,
    to_doubles,
    to_text,
    to_texts,
)
from deepfm_tf.serving.client.signature import TensorInfo

# Up to here Python's own loop beats the overhead of Arrow's.
_FEW_ROWS = 1000
# Their values become Python's own without loss.
_PYTHON_DTYPES = (object, "str", "string", "int64", "float64", "bool")


def to_array(
    name: str,
    values: Any,
    info: TensorInfo,
    missing_values: Sequence[str] = (),
    separator: str | None = None,
) -> Array:
    """A column as the array that an input wants.

    Text becomes UTF-8 `bytes` (an object array); None and NaN become `b""`
    in text and NaN in floating-point numbers. Whatever is no text becomes the
    text that training read of it: 7.0 is "7" (see `raw_values`). Text that
    reads as a number is taken for one, `NA` and the like for none. Bytes for
    text stay as they are.

    Args:
        name: str. The column, for messages.
        values: array, list, Series, or Arrow array; nested for an input of
            more than one dimension. One value suffices for a context input.
        info: the input's dtype and shape.
        missing_values: further texts that mean "missing".
        separator: what joins the elements of lists, for an input of text that
            takes one value a row. None refuses lists.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> to_array("price", ["1.5", None], TensorInfo("float32", (None,)))
    array([1.5, nan], dtype=float32)
    """
    flat, shape = _flatten(name, values, info)
    dtype = info.numpy_dtype
    # Values a row, to tell in which one a value stands.
    width = max(1, math.prod(shape[1:]))
    if info.dtype == "string":
        array = _texts(name, flat, missing_values, separator, width)
    elif dtype.kind == "b":
        numbers = _integers(name, flat, np.dtype(np.uint8), width)
        if (numbers > 1).any():
            raise UserError(
                f"Column '{name}' must hold booleans, or 0 and 1. Received: "
                f"{numbers.max()}."
            )
        array = numbers.astype(bool)
    elif dtype.kind in "iu":
        array = _integers(name, flat, dtype, width)
    elif dtype.kind == "f" or info.dtype == "bfloat16":
        with np.errstate(over="ignore"):
            array = _floats(name, flat, missing_values, width)
            array = array.astype(dtype)
    else:
        raise UserError(
            f"The input '{name}' must be of text, numbers or booleans. "
            f"Received: a model that wants {info.dtype}."
        )
    array = array.reshape(shape)
    if not info.allows(array.shape):
        raise UserError(
            f"Column '{name}' must have the shape {_shown_shape(info)}. "
            f"Received: {array.shape}."
        )
    return array


def _shown_shape(info: TensorInfo) -> str:
    dims = ["N" if n is None else str(n) for n in info.shape or ()]
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"


def _flatten(
    name: str, values: Any, info: TensorInfo
) -> tuple[Any, tuple[int, ...]]:
    """One-dimensional values, and the shape that they are to have."""
    rank = None if info.shape is None else len(info.shape)
    if _is_scalar(values):
        if rank == 0:
            return [values], ()
        if info.is_batched:
            raise UserError(
                f"Column '{name}' must hold a value for each row, as a list "
                f"or an array. Received: {values!r}."
            )
        return [values], (1,) * (rank or 1)
    if getattr(values, "ndim", 1) > 1:
        values = np.asarray(values)
        return values.ravel(), values.shape
    if rank is None or rank < 2:
        return values, (len(values),)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        values = values.to_pylist()
    rows = [[v] if _is_scalar(v) else list(v) for v in values]
    nested = np.array(rows, dtype=object)
    if not rows:
        return [], (0, *(n or 0 for n in (info.shape or ())[1:]))
    if nested.ndim == 1:
        raise UserError(
            f"Column '{name}' must have the shape {_shown_shape(info)}, but "
            "its rows differ in length."
        )
    return nested.ravel(), nested.shape


def _is_scalar(value: Any) -> bool:
    return (
        isinstance(value, (str, bytes))
        or not hasattr(value, "__len__")
        or getattr(value, "ndim", 1) == 0
    )


def _texts(
    name: str,
    values: Any,
    missing_values: Sequence[str],
    separator: str | None,
    width: int,
) -> Array:
    if len(values) < _FEW_ROWS:
        few = values
        if isinstance(values, pd.Series) and values.dtype in _PYTHON_DTYPES:
            few = values.tolist()
        if isinstance(few, list) and not missing_values:
            encoded = _few_texts(few)
            if encoded is not None:
                return encoded
    array = to_arrow(values, name)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not _is_binary(array.type):
        bad: Bad = {}
        array = to_texts(array, name, bad, separator)
        _raise_first(bad, width)
        if missing_values:
            array = missing_to_null(array, missing_values)
    array = pc.fill_null(pc.cast(array, pa.large_binary()), b"")
    return array.to_numpy(zero_copy_only=False)


def _few_texts(values: list) -> Array | None:
    """The same for a few values; None where a message must be found."""
    result = np.empty(len(values), dtype=object)
    if set(map(type, values)) == {str}:
        try:
            result[:] = [value.encode() for value in values]
        except UnicodeEncodeError:
            return None
        return result
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            result[row] = value
            continue
        try:
            result[row] = (to_text(value) or "").encode()
        except NoTextError:
            return None
    return result


def _raise_first(bad: Bad, width: int) -> None:
    for place, (name, _, reason) in sorted(bad.items()):
        row = place // width
        raise UserError(f"Column '{name}', row {row} (from 0): {reason}.")


def _floats(
    name: str, values: Any, missing_values: Sequence[str], width: int
) -> Array:
    fast = values if isinstance(values, np.ndarray) else None
    if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype):
        fast = values.to_numpy()
    if fast is not None and fast.dtype.kind in "fiub":
        return fast
    if isinstance(values, list) and set(map(type, values)) <= {int, float}:
        with contextlib.suppress(OverflowError):
            return np.array(values, dtype=np.float64)
    bad: Bad = {}
    array = to_arrow(values, name)
    numbers = to_doubles(array, name, bad, missing_values)
    for place, (_, value, _) in sorted(bad.items()):
        raise UserError(
            f"Column '{name}' must hold numbers. Received: {value!r} in row "
            f"{place // width} (counted from 0)."
        )
    return numbers


def _integers(name: str, values: Any, dtype: np.dtype, width: int) -> Array:
    array = to_arrow(values, name)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    wanted = pa.from_numpy_dtype(dtype)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    elif pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.int8())
    elif not pa.types.is_integer(array.type):
        bad: Bad = {}
        texts = to_texts(array, name, bad)
        _raise_first(bad, width)
        array = missing_to_null(pc.utf8_trim_whitespace(texts), ())
    if array.null_count:
        row = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False)))
        raise UserError(
            f"Column '{name}' must hold an integer in each row, as the model "
            "has no mark for a missing one. Received: nothing in row "
            f"{row // width} (counted from 0)."
        )
    try:
        return pc.cast(array, wanted).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        pass
    for row, value in enumerate(array.to_pylist()):
        try:
            pc.cast(pa.scalar(value, array.type), wanted)
        except pa.ArrowInvalid:
            is_whole = re.fullmatch(r"[+-]?\d+", str(value))
            fitting = f" that fit {dtype.name}" * bool(
                is_whole or not isinstance(value, str)
            )
            raise UserError(
                f"Column '{name}' must hold integers{fitting}. "
                f"Received: {shown(value)!r} in row {row // width} "
                "(counted from 0)."
            ) from None
    return array.to_numpy(zero_copy_only=False)


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
