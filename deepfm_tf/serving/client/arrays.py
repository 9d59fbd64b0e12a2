"""Columns of raw values to arrays, and these to tensors of messages."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.raw_values import (
    Bad,
    NoTextError,
    cell_text,
    missing_to_null,
    shown,
    to_doubles,
    to_text,
    to_texts,
)
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField

# gRPC clients take 4 MiB (4,194,304 bytes) at most unless told otherwise,
# and proxies are often set alike. The rest is for names and framing.
MAX_MESSAGE_BYTES = 4_000_000
# Tag and length before each string in a message.
_STRING_OVERHEAD = 4

# Up to here Python's own loop beats the overhead of Arrow's.
FEW_ROWS = 1000
# Their values become Python's own without loss.
_PYTHON_DTYPES = (object, "str", "string", "int64", "float64", "bool")


def to_array(
    name: str,
    values: Any,
    info: TensorInfo,
    field: ServedField | None = None,
    is_finite: bool = False,
) -> Array:
    """A column as the array that an input wants, read as training reads it.

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
        field: what the model tells of the input's field, if it does: further
            marks of missing values, and what joins the elements of lists.
        is_finite: bool. Whether infinities, and what is too large for a
            float32, are refused as in training. A field's always are.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> to_array("price", ["1.5", None], TensorInfo("float32", (None,)))
    array([1.5, nan], dtype=float32)
    >>> field = ServedField("tags", "tags", separator="|")
    >>> info = TensorInfo("string", (None,))
    >>> to_array("tags", [["a", "b"], [], ["c"]], info, field).tolist()
    [b'a|b', b'', b'c']
    """
    missing = field.missing_values if field else ()
    separator = field.separator if field else None
    column = values
    if separator is not None:
        if info.is_context and _is_list(values) and len(values) != 1:
            column = [list(values)]  # The several values of the one row.
        elif getattr(values, "ndim", 1) > 1:
            column = list(values)
    flat, shape = _flatten(name, column, info)
    dtype = info.numpy_dtype
    # Values a row, to tell in which one a value stands.
    width = max(1, math.prod(shape[1:]))
    if info.dtype == "string":
        array = _texts(name, flat, missing, separator, width)
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
            array = _floats(name, flat, missing, width).astype(dtype)
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
    if array.dtype.kind == "f" and (is_finite or field is not None):
        _check_finite(name, values, array)
    return array


def to_proto(array: Array) -> tensor_pb2.TensorProto:
    """A TensorProto of `bytes` objects, or of numbers as raw bytes."""
    proto = tensor_pb2.TensorProto()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == object:
        proto.dtype = tf.string.as_datatype_enum
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
        proto.tensor_content = array.tobytes()
    return proto


def cut(num_rows: int, row_bytes: Array | int, max_rows: int) -> list[slice]:
    """Slices of consecutive rows, each within a message and `max_rows`.

    Args:
        num_rows: int. Rows there are.
        row_bytes: bytes of each row in a request.
        max_rows: int. Rows a slice may have at most.

    Returns:
        At least one slice; a row larger than a message has one of its own.

    Example:

    >>> cut(5, np.array([1, 1, 1, 1, 1]), 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    ends = np.cumsum(np.broadcast_to(row_bytes, num_rows))
    slices, start = [], 0
    while start < num_rows:
        before = ends[start - 1] if start else 0
        fit = int(np.searchsorted(ends, before + MAX_MESSAGE_BYTES, "right"))
        stop = min(max(fit, start + 1), start + max_rows)
        slices.append(slice(start, stop))
        start = stop
    return slices or [slice(0, 0)]


def bytes_of_rows(arrays: Sequence[Array], num_rows: int) -> Array:
    """What each row takes in a request, in bytes."""
    total = np.zeros(num_rows, np.int64)
    for array in arrays:
        if array.dtype == object:
            lengths = np.fromiter(map(len, array.flat), np.int64, array.size)
            lengths += _STRING_OVERHEAD
            if num_rows:
                total += lengths.reshape(num_rows, -1).sum(axis=1)
        else:
            total += array.itemsize * math.prod(array.shape[1:])
    return total


def join(
    answers: Sequence[Mapping[str, Any]], slices: Sequence[slice], address: str
) -> dict[str, Array]:
    """The outputs of all slices, each joined in the order of the rows."""
    result = {}
    for name in sorted(answers[0]):
        parts = [tf.make_ndarray(answer[name]) for answer in answers]
        if len(parts) == 1:
            result[name] = parts[0]
            continue
        for part, rows in zip(parts, slices, strict=True):
            if len(part) != rows.stop - rows.start:
                raise PredictError(
                    f"{address} must answer each row, but gave {len(part)} "
                    f"values of '{name}' for {rows.stop - rows.start} rows.",
                    target=address,
                )
        result[name] = np.concatenate(parts)
    return result


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
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return True
    return bool(getattr(value, "ndim", 1) == 0)


def _texts(
    name: str,
    values: Any,
    missing_values: Sequence[str],
    separator: str | None,
    width: int,
) -> Array:
    if len(values) < FEW_ROWS:
        few = values
        if isinstance(values, pd.Series) and values.dtype in _PYTHON_DTYPES:
            few = values.tolist()
        if isinstance(few, list) and not missing_values:
            encoded = _few_texts(few)
            if encoded is not None:
                return encoded
    array = _decoded(values, name)
    if not (
        pa.types.is_binary(array.type)
        or pa.types.is_large_binary(array.type)
        or pa.types.is_fixed_size_binary(array.type)
    ):
        bad: Bad = {}
        array = to_texts(array, name, bad, separator)
        _raise_first(bad, width)
        if missing_values:
            array = missing_to_null(array, missing_values)
    return _to_numpy(pc.fill_null(pc.cast(array, pa.large_binary()), b""))


def _few_texts(values: list[Any]) -> Array | None:
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


def _integers(
    name: str, values: Any, dtype: np.dtype[Any], width: int
) -> Array:
    array = _decoded(values, name)
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
        row = int(np.argmax(_to_numpy(array.is_null())))
        raise UserError(
            f"Column '{name}' must hold an integer in each row, as the model "
            "has no mark for a missing one. Received: nothing in row "
            f"{row // width} (counted from 0)."
        )
    try:
        return _to_numpy(pc.cast(array, wanted))
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
    return _to_numpy(array)


def _decoded(values: Any, name: str) -> pa.Array:
    array = to_arrow(values, name)
    is_category = pa.types.is_dictionary(array.type)
    return array.dictionary_decode() if is_category else array


def _to_numpy(array: pa.Array) -> Array:
    result: Array = array.to_numpy(zero_copy_only=False)
    return result


def _check_finite(name: str, values: Any, array: Array) -> None:
    """Training refuses infinities, and what is too large for a float32."""
    is_infinite = np.isinf(array)
    if not is_infinite.any():
        return
    place = int(np.argmax(is_infinite))
    text, row = str(array.flat[place]), place
    if array.ndim > 1:
        row = place // (array.size // len(array))
    else:
        # As it was given: a context input may have one bare value.
        value = values if np.ndim(values) == 0 else values[row : row + 1]
        text = cell_text(to_arrow(np.atleast_1d(value), name)[0])
    raise UserError(
        f"Column '{name}' must hold finite numbers. Received: {text!r} in "
        f"row {row} (counted from 0)."
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))
