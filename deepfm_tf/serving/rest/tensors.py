"""JSON values to TensorProtos and back, by TensorFlow Serving's rules."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.errors import ServingError, invalid_argument

Outputs = Mapping[str, tensor_pb2.TensorProto]

# TensorFlow's own limit, and what keeps the walk over a value shallow.
MAX_RANK = 254
# An error repeats what came, but not megabytes of it.
MAX_SHOWN = 256
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
_OTHERS = (types_pb2.DT_STRING, types_pb2.DT_BOOL)
_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null"}


class NamedFloat(float):
    """`NaN` or `Infinity` written as such: not a number that overflowed."""


def tensor_from_json(value: Any, dtype: int) -> tensor_pb2.TensorProto:
    """Turns a scalar or nested lists into a tensor of the signature's type.

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

    >>> tensor = tensor_from_json([[1.5, 2], [3, 4]], types_pb2.DT_FLOAT)
    >>> [dim.size for dim in tensor.tensor_shape.dim]
    [2, 2]
    """
    shape = json_shape(value)
    leaves = _leaves(value, shape)
    converted = _converted(leaves, dtype)
    if converted is None:
        raise _not_of_type(_first_wrong(leaves, dtype), dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if isinstance(converted, list):
        tensor.string_val.extend(converted)
    else:
        tensor.tensor_content = converted.tobytes()
    return tensor


def rows_json(outputs: Outputs) -> bytes:
    """The answer to `instances`: `predictions`, an element a row.

    Args:
        outputs: mapping. Tensors of one first dimension, at least one tensor;
            a single one goes without its name. A string tensor whose name ends
            in `_bytes` becomes `{"b64": ...}` objects; other strings are
            written as they are, also where they are no UTF-8.

    Raises:
        ServingError: INVALID_ARGUMENT for scalars, for unequal first
            dimensions and for types that JSON cannot carry.

    Example:

    >>> json.loads(rows_json({"ctr": tf.make_tensor_proto([0.25, 1.0])}))
    {'predictions': [0.25, 1.0]}
    """
    columns = _columns(outputs)
    sizes = []
    for name in columns:
        if not outputs[name].tensor_shape.dim:
            raise invalid_argument(
                f"Tensor name: {name} has no shape information "
            )
        sizes.append(outputs[name].tensor_shape.dim[0].size)
        if sizes[-1] != sizes[0]:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{sizes[-1]} expecting: {sizes[0]}"
            )
    rows = next(iter(columns.values()))
    if len(columns) > 1:
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return document("predictions", rows)


def columns_json(outputs: Outputs) -> bytes:
    """The answer to `inputs`: `outputs`, a value a tensor.

    Args:
        outputs: mapping. As in `rows_json`, but of any shapes.

    Raises:
        ServingError: INVALID_ARGUMENT for types that JSON cannot carry.
    """
    columns = _columns(outputs)
    is_one = len(columns) == 1
    return document("outputs", columns.popitem()[1] if is_one else columns)


def document(key: str, value: Any) -> bytes:
    """An answer as JSON; text that is not UTF-8 leaves as it came."""
    text = json.dumps(value, ensure_ascii=False)
    return f'{{\n    "{key}": {text}\n}}'.encode(errors="surrogateescape")


def short_floats(values: Array | list[float]) -> list[float]:
    """Numbers whose decimal digits are the few that a float32 needs.

    >>> short_floats([0.10000000149011612, 1 / 3])
    [0.1, 0.33333334]
    """
    return list(map(float, map(str, np.asarray(values, np.float32))))


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
            f"JSON Value: {shown(value)} not formatted correctly for "
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


def number_too_big() -> ServingError:
    """What is said of a number beyond a double."""
    return invalid_argument(
        "JSON Parse error: Number too big to be stored in double."
    )


def text_bytes(text: str) -> bytes:
    """The bytes that a text of a parsed body came as, UTF-8 or not.

    >>> text_bytes(b"K\\xf6ln".decode(errors="surrogateescape"))
    b'K\\xf6ln'
    """
    return text.encode(errors="surrogateescape")


def json_type(value: Any) -> str:
    """What messages call a value's type."""
    if type(value) is bool:
        return str(value)
    return _TYPES.get(type(value), "Number")


def shown(value: Any) -> str:
    """A JSON value for a message, cut when it is long."""
    # The encoder is a generator, whose pieces have a character or more.
    pieces = json.JSONEncoder(ensure_ascii=False).iterencode(value)
    text = "".join(itertools.islice(pieces, MAX_SHOWN + 1))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _leaves(value: Any, shape: list[int]) -> list[Any]:
    """Every scalar in order; raises unless all lists are of `shape`."""
    level: list[Any] = [value]
    for depth, size in enumerate(shape):
        if set(map(type, level)) != {list}:
            wrong = next(item for item in level if type(item) is not list)
            raise invalid_argument(
                f"JSON Value: {shown(wrong)} found at incorrect level: "
                f"{depth + 1} in the JSON DOM. Expected at level: {len(shape)}"
            )
        if set(map(len, level)) != {size}:
            wrong = next(len(item) for item in level if len(item) != size)
            raise invalid_argument(
                f"Encountered list at unexpected size: {wrong} at level: "
                f"{depth} expected size: {size}"
            )
        level = list(itertools.chain.from_iterable(level))
    if list in set(map(type, level)):
        raise invalid_argument(
            f"Encountered list at unexpected level: {len(shape)} expected < "
            f"{len(shape)}"
        )
    return level


def _converted(leaves: list[Any], dtype: int) -> Array | list[bytes] | None:
    """All scalars at once, or None where one of them is of another type."""
    types = set(map(type, leaves))
    if not leaves:
        return []
    if dtype == types_pb2.DT_STRING and types <= {str, dict}:
        try:
            return list(map(str.encode, leaves))
        except (UnicodeEncodeError, TypeError):  # other bytes, or base64
            return [
                text_bytes(leaf) if type(leaf) is str else decode_base64(leaf)
                for leaf in leaves
            ]
    if dtype == types_pb2.DT_BOOL and types <= {bool}:
        return np.array(leaves, np.bool_)
    if dtype in _INTEGERS and types <= {int}:
        kind, low, high = _INTEGERS[dtype]
        if min(leaves) >= low and max(leaves) <= high:
            wide = np.uint64 if high > 2**63 else np.int64
            return np.array(leaves, wide).astype(kind)
    if dtype in _FLOATS and types <= {int, float, NamedFloat}:
        try:
            numbers = np.array(leaves, np.float64)
        except OverflowError:
            raise number_too_big() from None
        # Infinities that were spelled out must be told from overflows.
        if float in types and np.isinf(numbers).any():
            numbers = np.array(list(map(number, leaves)))
        with np.errstate(over="ignore"):
            return numbers.astype(_FLOATS[dtype])
    return None


def _first_wrong(leaves: list[Any], dtype: int) -> Any:
    while len(leaves) > 1:
        half = leaves[: len(leaves) // 2]
        is_good = _converted(half, dtype) is not None
        leaves = leaves[len(half) :] if is_good else half
    return leaves[0]


def _not_of_type(value: Any, dtype: int) -> ServingError:
    if dtype not in {*_FLOATS, *_INTEGERS, *_OTHERS}:
        return ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {shown(value)} to type: "
            f"{_type_name(dtype)}",
        )
    return invalid_argument(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of "
        f"expected type: {_type_name(dtype)}"
    )


def _type_name(dtype: int) -> str:
    """TensorFlow's C++ name of a type."""
    name: str = types_pb2.DataType.Name(dtype)
    return name.removeprefix("DT_").lower()


def _columns(outputs: Outputs) -> dict[str, Any]:
    """The JSON values of the tensors, by name."""
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    return {name: _values(name, outputs[name]) for name in sorted(outputs)}


def _values(name: str, tensor: tensor_pb2.TensorProto) -> Any:
    """A scalar, or lists nested by the tensor's shape."""
    if tensor.dtype not in {*_FLOATS, *_INTEGERS, *_OTHERS}:
        raise invalid_argument(
            "Failed to write JSON value for tensor type: "
            f"{_type_name(tensor.dtype)}"
        )
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    flat = tensor_pb2.TensorProto()
    flat.CopyFrom(tensor)
    # numpy takes fewer dimensions than TensorFlow.
    del flat.tensor_shape.dim[:]
    flat.tensor_shape.dim.add(size=math.prod(shape))
    array = tf.make_ndarray(flat)
    is_short = tensor.dtype == types_pb2.DT_FLOAT
    values: list[Any] = short_floats(array) if is_short else array.tolist()
    if tensor.dtype == types_pb2.DT_STRING and name.endswith("_bytes"):
        values = [{"b64": base64.b64encode(v).decode()} for v in values]
    elif tensor.dtype == types_pb2.DT_STRING:
        values = [value.decode(errors="surrogateescape") for value in values]
    for at in range(len(shape) - 1, -1, -1):
        size = shape[at]
        values = [
            values[row * size : (row + 1) * size]
            for row in range(math.prod(shape[:at]))
        ]
    return values[0]
