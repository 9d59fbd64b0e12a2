"""JSON values to TensorProtos, by TensorFlow Serving's rules of types."""

import base64
import binascii
import math
from itertools import chain
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest.texts import (
    json_type,
    number_too_big,
    preview,
    text_bytes,
    type_name,
)

# TensorFlow's own limit, and what keeps the walk over a value shallow.
MAX_RANK = 254
_FLOATS: dict[int, type[np.floating[Any]]] = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
}
_INTEGERS: dict[int, tuple[type[np.integer[Any]], int, int]] = {
    # dtype -> its numpy type, the range that JSON may carry. The small types
    # are checked as int32 and then cut, as TensorFlow Serving does.
    types_pb2.DT_INT8: (np.int8, -(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: (np.uint8, -(2**31), 2**31 - 1),
    types_pb2.DT_INT16: (np.int16, -(2**31), 2**31 - 1),
    types_pb2.DT_INT32: (np.int32, -(2**31), 2**31 - 1),
    types_pb2.DT_INT64: (np.int64, -(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: (np.uint32, 0, 2**32 - 1),
    types_pb2.DT_UINT64: (np.uint64, 0, 2**64 - 1),
}


class NamedFloat(float):
    """`NaN` or `Infinity` written as such: not a number that overflowed."""


def tensor_from_json(value: Any, dtype: int) -> tensor_pb2.TensorProto:
    """Turns a scalar or nested lists into a tensor of the signature's type.

    Whole levels are checked and converted at once; only a value that fails
    that, or holds base64 objects, is walked element by element.

    Args:
        value: Any. What `json` parsed: a scalar, or lists of equal lengths
            nested to any depth; `{"b64": "..."}` stands for bytes.
        dtype: int. The DataType that the signature wants.

    Returns:
        A TensorProto; its shape is that of the nested lists.

    Raises:
        ServingError: INVALID_ARGUMENT for ragged lists and values of another
            type, UNIMPLEMENTED for a type that JSON cannot carry.

    Example:

    >>> from tensorflow.core.framework import types_pb2
    >>> tensor = tensor_from_json([[1.5, 2], [3, 4]], types_pb2.DT_FLOAT)
    >>> [dim.size for dim in tensor.tensor_shape.dim]
    [2, 2]
    """
    shape = json_shape(value)
    leaves = _regular_leaves(value, shape)
    converted = None if leaves is None else _convert_all(leaves, dtype)
    if converted is None:
        found: list[Any] = []
        _walk(value, 0, shape, dtype, found)
        converted = _packed(found, dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)  # type: ignore[arg-type]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if isinstance(converted, bytes):
        tensor.tensor_content = converted
    else:
        tensor.string_val.extend(converted)
    return tensor


def json_shape(value: Any) -> list[int]:
    """The shape that the first elements of nested lists announce."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise invalid_argument(
                f"Lists may be nested {MAX_RANK} deep in a tensor; these "
                "are nested deeper. Send fewer dimensions."
            )
        if not value:
            break
        value = value[0]
    return shape


def is_base64(value: Any) -> bool:
    """Whether a JSON value is `{"b64": "..."}` and nothing else."""
    return (
        type(value) is dict
        and len(value) == 1
        and type(value.get("b64")) is str
    )


def decode_base64(value: Any) -> bytes:
    """The bytes of a `{"b64": "..."}` object; its padding may be missing."""
    if not is_base64(value):
        raise invalid_argument(
            f"JSON Value: {preview(value)} not formatted correctly for "
            "base64 data"
        )
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def number(value: float | int) -> float:
    """A JSON number as a double, from which a float is then rounded.

    An integer has any size: JSON libraries write 1435774380.0 without its
    fraction. What a float32 cannot hold becomes infinity in it.

    Raises:
        ServingError: INVALID_ARGUMENT for what a double cannot hold.
    """
    try:
        converted = float(value)
    except OverflowError:
        raise number_too_big() from None
    if type(value) is float and math.isinf(value):
        raise number_too_big()
    return converted


def _regular_leaves(value: Any, shape: list[int]) -> list[Any] | None:
    """Every scalar in order, or None where the lists are not of `shape`."""
    level: list[Any] = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = list(chain.from_iterable(level))
    return level


def _convert_all(leaves: list[Any], dtype: int) -> bytes | list[bytes] | None:
    """All scalars at once, or None where one of them needs a closer look."""
    types = set(map(type, leaves))
    if dtype == types_pb2.DT_STRING:
        return _encoded(leaves) if types <= {str} else None
    if dtype == types_pb2.DT_BOOL and types <= {bool}:
        return _packed(leaves, dtype)
    if dtype in _INTEGERS and types <= {int}:
        _, low, high = _INTEGERS[dtype]
        if not leaves or (min(leaves) >= low and max(leaves) <= high):
            return _packed(leaves, dtype)
    if dtype in _FLOATS and types <= {int, float, NamedFloat}:
        try:
            numbers = np.array(leaves, np.float64)
        except OverflowError:
            return None
        # Infinities that were spelled out must be told from overflows.
        if float not in types or not np.isinf(numbers).any():
            return _packed(numbers, dtype)
    return None


def _encoded(texts: list[str]) -> list[bytes]:
    try:
        return list(map(str.encode, texts))
    except UnicodeEncodeError:  # came as bytes that are not UTF-8
        return list(map(text_bytes, texts))


def _walk(
    value: Any, level: int, shape: list[int], dtype: int, found: list[Any]
) -> None:
    """Adds every scalar to `found`; raises at the first that is wrong."""
    if type(value) is not list:
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {preview(value)} found at incorrect level: "
                f"{level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        found.append(_convert_one(value, dtype))
        return
    if level >= len(shape):
        raise invalid_argument(
            f"Encountered list at unexpected level: {level} expected < "
            f"{len(shape)}"
        )
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: "
            f"{level} expected size: {shape[level]}"
        )
    for item in value:
        _walk(item, level + 1, shape, dtype, found)


def _convert_one(value: Any, dtype: int) -> Any:
    kind = type(value)
    if dtype == types_pb2.DT_STRING:
        if kind is str:
            return text_bytes(value)
        if kind is dict:
            return decode_base64(value)
    elif dtype in _FLOATS:
        if kind in (int, float, NamedFloat):
            return number(value)
    elif dtype in _INTEGERS:
        _, low, high = _INTEGERS[dtype]
        if kind is int and low <= value <= high:
            return value
    elif dtype == types_pb2.DT_BOOL:
        if kind is bool:
            return value
    elif kind is not dict:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {preview(value)} to type: "
            f"{type_name(dtype)}",
        )
    raise invalid_argument(
        f"JSON Value: {preview(value)} Type: {json_type(value)} is not of "
        f"expected type: {type_name(dtype)}"
    )


def _packed(leaves: list[Any] | Array, dtype: int) -> bytes | list[bytes]:
    """Checked scalars as `tensor_content`, strings as they are."""
    if dtype in _FLOATS:
        with np.errstate(over="ignore"):
            floats = np.asarray(leaves, np.float64).astype(_FLOATS[dtype])
        return floats.tobytes()
    if dtype in _INTEGERS:
        kind, _, high = _INTEGERS[dtype]
        wide = np.uint64 if high > 2**63 else np.int64
        return np.array(leaves, wide).astype(kind).tobytes()
    if dtype == types_pb2.DT_BOOL:
        return np.array(leaves, np.bool_).tobytes()
    return list(leaves)
