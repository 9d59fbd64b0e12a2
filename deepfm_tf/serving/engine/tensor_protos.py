"""TensorProto in and out: what a claim may cost, and typed answers."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.arrays import Array

# A tensor may hold fewer values than its shape says: the last one is then
# repeated. So 20 bytes can ask for a terabyte, and TensorFlow would try.
# TensorFlow Serving has no such bound; this one is on what `repeated_bytes`
# finds in all the tensors of a request.
MAX_REPEATED_BYTES = 2**28
_STRING_BYTES = 24  # What TensorFlow keeps for a string, text apart.

# What some types are kept as: halves as bits, complex numbers as pairs.
_VIEWS = {
    types_pb2.DT_HALF: np.uint16,
    types_pb2.DT_BFLOAT16: np.uint16,
    types_pb2.DT_COMPLEX64: np.float32,
    types_pb2.DT_COMPLEX128: np.float64,
}
# Where a TensorProto keeps its values, by type.
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
}


# What a request may send: no handles, no variants, no references.
PARSABLE = frozenset(
    dtype
    for dtype in types_pb2.DataType.values()
    if 0 < dtype < types_pb2.DT_FLOAT_REF
    and dtype not in (types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT)
)


def type_name(dtype: int) -> str:
    """TensorFlow's C++ name: "float" for DT_FLOAT.

    Example:

    >>> type_name(types_pb2.DT_DOUBLE), type_name(-1)
    ('double', 'unknown dtype enum (-1)')
    """
    if dtype not in types_pb2.DataType.values():
        return f"unknown dtype enum ({dtype})"
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()


def repeated_bytes(proto: tensor_pb2.TensorProto, length: int) -> int:
    """The memory of a tensor that its message does not account for.

    Args:
        proto: TensorProto. Of a type in `PARSABLE`.
        length: int. Bytes of the message.

    Returns:
        int. Bytes; 0 where every value is there, or the shape is none.

    Example:

    >>> proto = tf.make_tensor_proto(0.5, shape=[1000])
    >>> repeated_bytes(proto, proto.ByteSize())
    4000
    """
    dims = proto.tensor_shape.dim
    if len(dims) == 1:  # Nearly always.
        elements = dims[0].size
    else:
        elements = math.prod(dim.size for dim in dims)
    if proto.dtype == types_pb2.DT_STRING:
        values = proto.string_val
        if elements <= len(values):
            return 0
        size = _STRING_BYTES + (len(values[-1]) if values else 0)
        return elements * size
    # A number that is there takes a byte or more.
    if elements <= length:
        return 0
    return elements * tf.as_dtype(proto.dtype).size


def to_proto(
    array: Array, tensor_content: bool = False
) -> tensor_pb2.TensorProto:
    """A TensorProto as TensorFlow Serving answers it.

    Args:
        array: what a session returned; bytes as objects for strings.
        tensor_content: bool. Numbers as packed bytes instead of `float_val`
            and the like, which are the default.

    Example:

    >>> proto = to_proto(np.float32([0.5, 2]))
    >>> list(proto.float_val), proto.tensor_shape.dim[0].size
    ([0.5, 2.0], 2)
    """
    dtype = tf.as_dtype(array.dtype).as_datatype_enum
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor_content and dtype != types_pb2.DT_STRING:
        proto.tensor_content = array.tobytes()
        return proto
    field = _FIELDS.get(dtype)
    if field is None:  # Quantized numbers.
        return tf.make_tensor_proto(array)
    values: Array = array.ravel()
    if dtype in _VIEWS:
        values = values.view(_VIEWS[dtype])
    getattr(proto, field).extend(values.tolist())
    return proto
