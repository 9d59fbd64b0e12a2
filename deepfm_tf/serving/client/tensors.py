"""Arrays to TensorProtos and back, and cuts that keep messages small."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.signature import TensorInfo

# gRPC clients take 4 MiB (4,194,304 bytes) at most unless told otherwise,
# and proxies are often set alike. The rest is for names and framing.
MAX_MESSAGE_BYTES = 4_000_000
# Tag and length before each string in a message.
_STRING_OVERHEAD = 4
# What a value takes in an answer whose size the signature does not tell.
_UNKNOWN_BYTES = 64


def to_proto(array: Array) -> tensor_pb2.TensorProto:
    """A TensorProto; numbers go as raw bytes, the cheapest to write and read.

    Args:
        array: numbers, or an object array of `bytes`.
    """
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in array.shape]
    )
    if array.dtype == object:
        return tensor_pb2.TensorProto(
            dtype=tf.string.as_datatype_enum,
            tensor_shape=shape,
            string_val=array.ravel().tolist(),
        )
    return tensor_pb2.TensorProto(
        dtype=tf.as_dtype(array.dtype).as_datatype_enum,
        tensor_shape=shape,
        tensor_content=array.tobytes(),
    )


def to_array(proto: tensor_pb2.TensorProto) -> Array:
    """The array of an answer, whether it came as raw bytes or as values."""
    return tf.make_ndarray(proto)


def cut(num_rows: int, row_bytes: Array | int, max_rows: int) -> list:
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


def rows_of_answer(outputs: Mapping[str, TensorInfo]) -> int:
    """Rows whose answer fits a message, as far as the signature tells."""
    total = 0
    for info in outputs.values():
        inner = [None] if info.shape is None else info.shape[1:]
        size = _UNKNOWN_BYTES
        if info.dtype != "string" and None not in inner:
            is_float = info.numpy_dtype.kind == "f"
            # As typed values an integer takes up to ten bytes.
            size = info.numpy_dtype.itemsize if is_float else 10
        total += size * math.prod(n or 1 for n in inner)
    return max(1, MAX_MESSAGE_BYTES // max(1, total))


def join(
    answers: Sequence[Mapping[str, Any]], slices: Sequence[slice], target: str
) -> dict[str, Array]:
    """The outputs of all slices, each joined in the order of the rows."""
    result = {}
    for name in sorted(answers[0]):
        parts = [to_array(answer[name]) for answer in answers]
        if len(parts) == 1:
            result[name] = parts[0]
            continue
        for part, rows in zip(parts, slices, strict=True):
            if len(part) != rows.stop - rows.start:
                raise PredictError(
                    f"{target} must answer each row, but gave {len(part)} "
                    f"values of '{name}' for {rows.stop - rows.start} rows.",
                    target=target,
                )
        result[name] = np.concatenate(parts)
    return result
