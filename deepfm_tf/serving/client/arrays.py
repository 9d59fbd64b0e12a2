"""Columns of raw values to arrays, and these to tensors of messages."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
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
    missing_numbers,
    missing_to_null,
    to_doubles,
    to_text,
    to_texts,
)
from deepfm_tf.serving.client.channel import PredictError
from deepfm_tf.serving.signature import ServedField, TensorInfo

# gRPC clients take 4 MiB (4,194,304 bytes) at most unless told otherwise,
# and proxies are often set alike. The rest is for names and framing.
MAX_MESSAGE_BYTES = 4_000_000
# Tag and length before each string in a message.
_STRING_OVERHEAD = 4

# Up to here Python's own loop beats the overhead of Arrow's.
FEW_ROWS = 1000
# Their values become Python's own without loss.
_PYTHON_DTYPES = (object, "str", "string", "int64", "float64", "bool")
_NUMBERS = {int, float}
_marked = functools.lru_cache(missing_numbers)


def to_array(
    name: str,
    values: Any,
    info: TensorInfo,
    field: ServedField | None = None,
    is_finite: bool = False,
    missing_values: Sequence[str] = (),
) -> Array:
    """A column as the array that an input wants, read as training reads it.

    Text becomes UTF-8 `bytes` (an object array); None and NaN become `b""`
    in text and NaN in floating-point numbers. Whatever is no text becomes the
    text that training read of it: 7.0 is "7" (see `raw_values`). Text that
    reads as a number is taken for one, `NA` and the like for none. Bytes for
    text stay as they are.

    A ValueError, which names the column, for what the input cannot take.

    Args:
        values: array, list, Series, or Arrow array; nested for an input of
            more than one dimension. One value suffices for a context input.
        field: what the model tells of the input's field, if it does: further
            marks of missing values, and what joins the elements of lists.
        is_finite: bool. Whether infinities, and what is too large for a
            float32, are refused as in training. A field's always are.
        missing_values: texts that mean missing, besides the field's.

    >>> to_array("price", ["1.5", None], TensorInfo("float32", (None,)))
    array([1.5, nan], dtype=float32)
    >>> field = ServedField("tags", "tags", separator="|")
    >>> info = TensorInfo("string", (None,))
    >>> to_array("tags", [["a", "b"], [], ["c"]], info, field).tolist()
    [b'a|b', b'', b'c']
    """
    separator = field.separator if field else None
    if separator is not None:
        is_list = isinstance(values, (list, tuple, np.ndarray))
        if info.is_context and is_list and len(values) != 1:
            values = [list(values)]  # The several values of the one row.
        elif getattr(values, "ndim", 1) > 1:
            values = list(values)
    flat, shape = _flatten(name, values, info)
    marks = (*(field.missing_values if field else ()), *missing_values)
    column = _Column(name, flat, max(1, math.prod(shape[1:])), marks)
    dtype = info.numpy_dtype
    if info.dtype == "string":
        array = column.texts(separator)
    elif dtype.kind == "b":
        array = column.integers(np.dtype(np.uint8))
        if (array > 1).any():
            raise UserError(
                f"Column '{name}' must hold booleans, or 0 and 1. Received: "
                f"{array.max()}."
            )
        array = array.astype(bool)
    elif dtype.kind in "iu":
        array = column.integers(dtype)
    elif dtype.kind == "f" or info.dtype == "bfloat16":
        array = column.floats(dtype, is_finite or field is not None)
    else:
        raise UserError(
            f"The input '{name}' must be of text, numbers or booleans. "
            f"Received: a model that wants {info.dtype}."
        )
    if not info.allows(shape):
        raise UserError(
            f"Column '{name}' must have the shape {info.shape}, where None is "
            f"any length. Received: {shape}."
        )
    return array.reshape(shape)


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


def cut(row_bytes: Array, max_rows: int) -> list[slice]:
    """Slices of consecutive rows, each within a message and `max_rows`.

    At least one; a row larger than a message has one of its own.

    >>> cut(np.array([1, 1, 1, 1, 1]), 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    ends = np.append(0, np.cumsum(row_bytes))
    slices, start = [], 0
    while start < len(row_bytes):
        most = ends[start] + MAX_MESSAGE_BYTES
        fit = int(np.searchsorted(ends, most, "right")) - 1
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


def _flatten(
    name: str, values: Any, info: TensorInfo
) -> tuple[Any, tuple[int, ...]]:
    """One-dimensional values, and the shape that they are to have."""
    rank = None if info.shape is None else len(info.shape)
    if _is_scalar(values):
        if rank != 0 and info.is_batched:
            raise UserError(
                f"Column '{name}' must hold a value for each row, as a list "
                f"or an array. Received: {values!r}."
            )
        return [values], (1,) * (1 if rank is None else rank)
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
            f"Column '{name}' must have the shape {info.shape}, but its rows "
            "differ in length."
        )
    return nested.ravel(), nested.shape


def _is_scalar(value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return True
    return bool(getattr(value, "ndim", 1) == 0)


@dataclasses.dataclass(frozen=True)
class _Column:
    """One-dimensional values, to be read as one of the kinds of input."""

    name: str
    values: Any
    width: int  # how many are of one row, to tell in which one a value stands
    marks: tuple[str, ...]  # texts that mean missing

    def texts(self, separator: str | None) -> Array:
        """The texts, as bytes; the elements of a list are joined."""
        few = self.values
        if len(few) < FEW_ROWS and not self.marks:
            if isinstance(few, pd.Series) and few.dtype in _PYTHON_DTYPES:
                few = few.tolist()
            if isinstance(few, list):
                # Else a message must be found, or lists be joined.
                with contextlib.suppress(NoTextError, UnicodeEncodeError):
                    texts = [
                        v.encode() if type(v) is str else _encoded(v)
                        for v in few
                    ]
                    return np.array(texts, dtype=object)
        array = self._arrow()
        if not (
            pa.types.is_binary(array.type)
            or pa.types.is_large_binary(array.type)
            or pa.types.is_fixed_size_binary(array.type)
        ):
            array = self._as_texts(array, separator)
        return _to_numpy(pc.fill_null(pc.cast(array, pa.large_binary()), b""))

    def floats(self, dtype: np.dtype[Any], is_finite: bool) -> Array:
        """The numbers; NaN where a value is missing."""
        numbers, values = None, self.values
        if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype):
            values = values.to_numpy()
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            numbers = values
        elif isinstance(values, list) and set(map(type, values)) <= _NUMBERS:
            with contextlib.suppress(OverflowError):
                numbers = np.array(values, dtype=np.float64)
        if numbers is None:
            bad: Bad = {}
            array = to_arrow(values, self.name)
            numbers = to_doubles(array, self.name, bad, self.marks)
            for place, (_, value, _) in sorted(bad.items()):
                raise self._refusal("numbers", value, place)
        with np.errstate(over="ignore"):
            if len(marked := _marked(self.marks)):
                is_marked = np.isin(numbers.astype(np.float32), marked)
                numbers = np.where(is_marked, np.nan, numbers)
            result: Array = numbers.astype(dtype)
        if is_finite and np.isinf(result).any():
            place = int(np.argmax(np.isinf(result)))
            value = cell_text(to_arrow(self.values, self.name)[place])
            raise self._refusal("finite numbers", value, place)
        return result

    def integers(self, dtype: np.dtype[Any]) -> Array:
        """The integers; none may be missing."""
        array, kind = self._arrow(), pa.from_numpy_dtype(dtype)
        if pa.types.is_boolean(array.type):
            array = pc.cast(array, pa.int8())
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_nan(array), None, array)
        elif self.marks or not pa.types.is_integer(array.type):
            array = pc.utf8_trim_whitespace(self._as_texts(array))

        def is_right(values: pa.Array) -> bool:
            with contextlib.suppress(pa.ArrowInvalid):
                return not pc.cast(values, kind).null_count
            return False

        if not is_right(array):
            rows = range(len(array))
            place = next(n for n in rows if not is_right(array[n : n + 1]))
            raise self._refusal(
                f"an integer that fits {dtype.name} in each row",
                cell_text(array[place]),
                place,
            )
        return _to_numpy(pc.cast(array, kind))

    def _arrow(self) -> pa.Array:
        array = to_arrow(self.values, self.name)
        is_category = pa.types.is_dictionary(array.type)
        return array.dictionary_decode() if is_category else array

    def _as_texts(self, array: pa.Array, separator: str | None = None) -> Any:
        """The texts; null where one is missing."""
        bad: Bad = {}
        texts = to_texts(array, self.name, bad, separator)
        for place, (name, _, reason) in sorted(bad.items()):
            row = place // self.width
            raise UserError(f"Column '{name}', row {row} (from 0): {reason}.")
        if not self.marks:
            return texts
        if separator is not None:
            kept = [
                text
                and separator.join(
                    v for v in text.split(separator) if v not in self.marks
                )
                for text in texts.to_pylist()
            ]
            texts = pa.array(kept, pa.string())
        return missing_to_null(texts, self.marks)

    def _refusal(self, what: str, value: str, place: int) -> UserError:
        return UserError(
            f"Column '{self.name}' must hold {what}. Received: {value!r} in "
            f"row {place // self.width} (counted from 0)."
        )


def _encoded(value: Any) -> bytes:
    is_bytes = isinstance(value, bytes)
    return value if is_bytes else (to_text(value) or "").encode()


def _to_numpy(array: pa.Array) -> Array:
    result: Array = array.to_numpy(zero_copy_only=False)
    return result
