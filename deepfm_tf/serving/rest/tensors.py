"""JSON values to TensorProtos and back, by TensorFlow Serving's rules."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.engine.protos import type_name
from deepfm_tf.serving.errors import ServingError, invalid_argument

# An error repeats what came, but not megabytes of it.
MAX_SHOWN = 256
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null"}


class NamedFloat(float):
    """`NaN` or `Infinity` written as such: not a number that overflowed."""


# The numpy type of those that JSON can carry.
_TYPES: dict[int, np.dtype[Any]] = {
    each.as_datatype_enum: np.dtype(each.as_numpy_dtype)
    for each in (
        *(tf.string, tf.bool, tf.float32, tf.float64, tf.int8, tf.int16),
        *(tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64),
    )
}
# What each of numpy's kinds of types takes; others take integers.
_TAKES: dict[str, set[type]] = {
    "O": {str, dict},
    "b": {bool},
    "f": {int, float, NamedFloat},
}


class WrongValueError(ServingError):
    """A value that goes into no tensor; `row` is its outermost place."""

    def __init__(self, code: grpc.StatusCode, message: str, row: int) -> None:
        super().__init__(code, message)
        self.row = row


def tensor_from_json(value: Any, dtype: int) -> tensor_pb2.TensorProto:
    """Turns a scalar or nested lists into a tensor of the signature's type.

    Lists have equal lengths, which are the tensor's shape, to any depth;
    `{"b64": "..."}` stands for bytes. A ServingError is INVALID_ARGUMENT for
    ragged lists and values of another type, UNIMPLEMENTED for a type that JSON
    cannot carry.

    >>> tensor = tensor_from_json([[1.5, 2], [3, 4]], types_pb2.DT_FLOAT)
    >>> [dim.size for dim in tensor.tensor_shape.dim]
    [2, 2]
    """
    shape, leaves = _flattened(value)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    try:
        _fill(tensor, leaves)
    except ServingError:
        at, error = _first_wrong(leaves, dtype)
        row = at * shape[0] // len(leaves) if shape else 0
        raise WrongValueError(error.code, error.message, row) from None
    return tensor


def outputs_json(
    outputs: Mapping[str, tensor_pb2.TensorProto], in_rows: bool
) -> bytes:
    """The answer to `instances` (`in_rows`) or to `inputs`.

    In rows it is `predictions`, an element a row of the tensors' common first
    dimension, else `outputs`, a value a tensor; a single tensor goes without
    its name. A string tensor whose name ends in `_bytes` becomes
    `{"b64": ...}` objects; other strings are written as they are, also where
    they are no UTF-8. A ServingError is INVALID_ARGUMENT for types that JSON
    cannot carry; in rows, for scalars and unequal first dimensions.

    >>> tensors = {"ctr": tf.make_tensor_proto([0.25, 1.0])}
    >>> json.loads(outputs_json(tensors, in_rows=True))
    {'predictions': [0.25, 1.0]}
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    columns = {name: _values(name, outputs[name]) for name in sorted(outputs)}
    values = columns if len(columns) > 1 else next(iter(columns.values()))
    if not in_rows:
        return document("outputs", values)
    for name, column in columns.items():
        if not outputs[name].tensor_shape.dim:
            raise invalid_argument(
                f"Tensor name: {name} has no shape information "
            )
        if len(column) != len(columns[min(columns)]):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{len(column)}"
            )
    if len(columns) > 1:
        values = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return document("predictions", values)


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
    except ValueError:
        raise invalid_argument("Unable to base64 decode") from None


def number(value: float | int) -> float:
    """A JSON number as a double, from which a float is then rounded.

    An integer has any size: JSON libraries write 1435774380.0 without its
    fraction. What a float32 cannot hold becomes infinity in it, what a double
    cannot hold is refused.
    """
    if type(value) is not float or not math.isinf(value):
        with contextlib.suppress(OverflowError):
            return float(value)
    raise number_too_big()


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
    return _JSON_TYPES.get(type(value), "Number")


def shown(value: Any) -> str:
    """A JSON value for a message, cut when it is long."""
    # The encoder is a generator, whose pieces have a character or more.
    pieces = json.JSONEncoder(ensure_ascii=False).iterencode(value)
    text = "".join(itertools.islice(pieces, MAX_SHOWN + 1))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _flattened(value: Any) -> tuple[list[int], list[Any]]:
    """The shape of nested lists, and every scalar in order."""
    shape: list[int] = []
    level: list[Any] = [value]
    while list in set(map(type, level)):
        depth = len(shape)
        sizes = [len(v) if type(v) is list else None for v in level]
        if set(sizes) != {sizes[0]}:
            at = next(i for i, size in enumerate(sizes) if size != sizes[0])
            text = f"Encountered list at unexpected level: {depth}"
            if sizes[at] is None:
                text = (
                    f"JSON Value: {shown(level[at])} found at incorrect level: "
                    f"{depth + 1} in the JSON DOM."
                )
            elif sizes[0] is not None:
                text = (
                    f"Encountered list at unexpected size: {sizes[at]} at "
                    f"level: {depth} expected size: {sizes[0]}"
                )
            row = at * shape[0] // len(level)
            raise WrongValueError(_INVALID, text, row)
        shape.append(len(level[0]))
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _fill(tensor: tensor_pb2.TensorProto, leaves: list[Any]) -> None:
    """Puts scalars into a tensor; raises unless its type takes all of them."""
    if not leaves:
        return
    if tensor.dtype not in _TYPES:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {shown(leaves[0])} to type: "
            f"{type_name(tensor.dtype)}",
        )
    dtype = _TYPES[tensor.dtype]
    takes = _TAKES.get(dtype.kind, {int})
    is_right = set(map(type, leaves)) <= takes
    if is_right and takes == {int}:
        # The small ones are checked as int32 and then cut, as the real server
        # does.
        bounds = np.iinfo(dtype if dtype.itemsize > 2 else np.int32)
        is_right = bounds.min <= min(leaves) and max(leaves) <= bounds.max
    if not is_right:
        raise invalid_argument(
            f"JSON Value: {shown(leaves[0])} Type: {json_type(leaves[0])} is "
            f"not of expected type: {type_name(tensor.dtype)}"
        )
    if dtype == np.object_:
        try:
            tensor.string_val.extend(list(map(str.encode, leaves)))
        except (UnicodeEncodeError, TypeError):  # other bytes, or base64
            tensor.string_val.extend(
                text_bytes(leaf) if type(leaf) is str else decode_base64(leaf)
                for leaf in leaves
            )
        return
    wide = np.uint64 if dtype == np.uint64 else np.int64
    numbers = _doubles(leaves) if dtype.kind == "f" else np.array(leaves, wide)
    with np.errstate(over="ignore"):
        tensor.tensor_content = numbers.astype(dtype).tobytes()


def _first_wrong(leaves: list[Any], dtype: int) -> tuple[int, ServingError]:
    """The place of the first scalar that a type does not take, and why not."""
    at = 0
    while True:
        half = leaves[: (len(leaves) + 1) // 2]
        try:
            _fill(tensor_pb2.TensorProto(dtype=dtype), half)
            at += len(half)
            leaves = leaves[len(half) :]
        except ServingError as error:
            if len(half) == 1:
                return at, error
            leaves = half


def _doubles(leaves: list[Any]) -> Array:
    try:
        doubles = np.array(leaves, np.float64)
    except OverflowError:
        raise number_too_big() from None
    # Infinities that were spelled out must be told from overflows.
    if np.isinf(doubles).any():
        doubles = np.array(list(map(number, leaves)))
    return doubles


def _values(name: str, tensor: tensor_pb2.TensorProto) -> Any:
    """A scalar, or lists nested by the tensor's shape."""
    if tensor.dtype not in _TYPES:
        raise invalid_argument(
            "Failed to write JSON value for tensor type: "
            f"{type_name(tensor.dtype)}"
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
    return _nested(iter(values), shape)


def _nested(values: Iterator[Any], shape: list[int]) -> Any:
    if not shape:
        return next(values)
    return [_nested(values, shape[1:]) for _ in range(shape[0])]
