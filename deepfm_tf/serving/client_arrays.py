"""A column of raw values to the array that a signature's input wants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.errors import UserError
from deepfm_tf.serving.client_signature import TensorInfo

# Up to here Python's own loop beats the overhead of Arrow's.
_FEW_ROWS = 1000


def to_array(name: str, values: Any, info: TensorInfo) -> np.ndarray:
    """A column as the array that an input wants.

    Text becomes UTF-8 `bytes` (an object array); None and NaN become `b""`
    in text and NaN in floating-point numbers. Numbers become text as they
    were read in training: 7.0 is "7". Text that reads as a number is taken
    for one.

    Args:
        name: str. The column, for messages.
        values: array, list, Series, or Arrow array; nested for an input of
            more than one dimension. One value suffices for a context input.
        info: the input's dtype and shape.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> to_array("price", ["1.5", None], TensorInfo("float32", (None,)))
    array([1.5, nan], dtype=float32)
    """
    flat, shape = _flatten(name, values, info)
    dtype = info.numpy_dtype
    if info.dtype == "string":
        array = _texts(name, flat)
    elif dtype.kind == "b":
        numbers = _integers(name, flat, np.dtype(np.uint8))
        if (numbers > 1).any():
            raise UserError(
                f"Column '{name}' must hold booleans, or 0 and 1. Received: "
                f"{numbers.max()}."
            )
        array = numbers.astype(bool)
    elif dtype.kind in "iu":
        array = _integers(name, flat, dtype)
    elif dtype.kind == "f" or info.dtype == "bfloat16":
        with np.errstate(over="ignore"):
            array = _floats(name, flat).astype(dtype)
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


def _to_arrow(name: str, values: Any) -> pa.Array:
    try:
        array = (
            values
            if isinstance(values, (pa.Array, pa.ChunkedArray))
            else pa.array(values, from_pandas=True)
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # A column of mixed types, such as 7 beside "seven", or of integers
        # of more than 64 bits.
        texts = [None if _is_missing(v) else _as_text(v) for v in values]
        array = pa.array(texts, pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_nested(array.type):
        raise UserError(
            f"Column '{name}' must hold one value a row. Received: "
            f"{array.type} ({array[0].as_py()!r} in the first row)."
        )
    return array


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return str(value)


def _texts(name: str, values: Any) -> np.ndarray:
    if len(values) < _FEW_ROWS:
        small = values
        if isinstance(values, pd.Series) and (
            values.dtype == object or not isinstance(values.dtype, np.dtype)
        ):
            small = values.to_numpy().tolist()
        if isinstance(small, list) and set(map(type, small)) == {str}:
            return _objects([text.encode() for text in small])
    array = _to_arrow(name, values)
    kind = array.type
    if pa.types.is_floating(kind):
        # pandas turns integers with gaps into floats: 7.0 stands for 7.
        array = pc.if_else(pc.is_nan(array), None, array)
        array = pc.replace_substring_regex(
            pc.cast(array, pa.string()), r"\.0$", ""
        )
    elif not _is_binary(kind):
        array = pc.cast(array, pa.string())
    array = pc.fill_null(pc.cast(array, pa.large_binary()), b"")
    return array.to_numpy(zero_copy_only=False)


def _objects(values: list) -> np.ndarray:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def _floats(name: str, values: Any) -> np.ndarray:
    fast = values if isinstance(values, np.ndarray) else None
    if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype):
        fast = values.to_numpy()
    if fast is not None and fast.dtype.kind in "fiub":
        return fast
    if isinstance(values, list) and set(map(type, values)) <= {int, float}:
        return np.array(values, dtype=np.float64)
    array = _to_arrow(name, values)
    if _is_text(array.type):
        array = _numbers_of_text(name, array, pa.float64())
    numbers = _cast(name, array, pa.float64(), "numbers", safe=False)
    return pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)


def _integers(name: str, values: Any, dtype: np.dtype) -> np.ndarray:
    array = _to_arrow(name, values)
    wanted = pa.from_numpy_dtype(dtype)
    if _is_text(array.type):
        array = _numbers_of_text(name, array, pa.int64())
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    if array.null_count:
        row = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False)))
        raise UserError(
            f"Column '{name}' must hold an integer in each row, as the model "
            f"has no mark for a missing one. Received: nothing in row {row} "
            "(counted from 0)."
        )
    if pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.int8())
    result = _cast(name, array, wanted, f"integers that fit {dtype.name}")
    return result.to_numpy(zero_copy_only=False)


def _cast(
    name: str, array: pa.Array, kind: pa.DataType, what: str, safe: bool = True
) -> pa.Array:
    try:
        return pc.cast(array, kind, safe=safe)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"Column '{name}' must hold {what}. Received: {array.type} "
            f"({error})."
        ) from error


def _numbers_of_text(name: str, array: pa.Array, kind: pa.DataType) -> pa.Array:
    texts = pc.utf8_trim_whitespace(pc.cast(array, pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    try:
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        pass
    for row, text in enumerate(texts.to_pylist()):
        try:
            pc.cast(pa.scalar(text, pa.string()), kind)
        except pa.ArrowInvalid:
            what = "integers" if pa.types.is_integer(kind) else "numbers"
            raise UserError(
                f"Column '{name}' must hold {what}. Received: {text!r} in row "
                f"{row} (counted from 0)."
            ) from None
    return texts


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or _is_binary(kind)
    )
