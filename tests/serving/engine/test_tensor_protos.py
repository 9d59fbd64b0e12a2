"""Bounds on what a proto may claim, and typed answers."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.serving.engine.tensor_protos import (
    repeated_bytes,
    to_proto,
    type_name,
)


def claimed(dtype, dims, **fields):
    """What `repeated_bytes` says of a proto."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in dims:
        proto.tensor_shape.dim.add(size=size)
    return repeated_bytes(proto, proto.ByteSize())


@pytest.mark.parametrize(
    ("dtype", "fields", "size"),
    [
        (types_pb2.DT_FLOAT, {"float_val": [1]}, 4),
        (types_pb2.DT_COMPLEX128, {"dcomplex_val": [1, 0]}, 16),
        (types_pb2.DT_QINT8, {"int_val": [1]}, 1),
        # 24 bytes for a string, and its text.
        (types_pb2.DT_STRING, {"string_val": [b"", b"x" * 40]}, 64),
        (types_pb2.DT_STRING, {"tensor_content": b"x" * 2000}, 24),
    ],
)
def test_what_is_repeated_takes_memory(dtype, fields, size):
    assert claimed(dtype, [1000], **fields) == 1000 * size
    assert claimed(dtype, [10, 100], **fields) == 1000 * size


@pytest.mark.parametrize(
    ("dtype", "fields"),
    [
        (types_pb2.DT_FLOAT, {"float_val": [0.5] * 1000}),
        (types_pb2.DT_FLOAT, {"tensor_content": bytes(4000)}),
        (types_pb2.DT_INT64, {"int64_val": [0] * 1000}),
        (types_pb2.DT_BOOL, {"tensor_content": bytes(1000)}),
        (types_pb2.DT_STRING, {"string_val": [b""] * 1000}),
    ],
)
def test_what_is_there_is_not_repeated(dtype, fields):
    assert claimed(dtype, [1000], **fields) == 0


@pytest.mark.parametrize("dims", [[], [0], [-5], [10**9, 0]])
def test_shapes_of_no_values_take_no_memory(dims):
    assert claimed(types_pb2.DT_FLOAT, dims, float_val=[1]) <= 0


@pytest.mark.parametrize(
    ("array", "field"),
    [
        (np.float32([[0.5, np.inf]]), "float_val"),
        (np.float64([0.1]), "double_val"),
        (np.float16([0.5, -2]), "half_val"),
        (tf.constant([0.5], tf.bfloat16).numpy(), "half_val"),
        (np.int64([-(2**63), 2**63 - 1]), "int64_val"),
        (np.uint64([2**64 - 1]), "uint64_val"),
        (np.uint32([2**32 - 1]), "uint32_val"),
        (np.int8([-128]), "int_val"),
        (np.array([True, False]), "bool_val"),
        (np.array([b"\xff", b""], object), "string_val"),
        (np.complex64([[1 + 2j], [3 - 4j]]), "scomplex_val"),
        (np.complex128([1 + 2j]), "dcomplex_val"),
        (np.float32(3), "float_val"),
        (np.zeros([0, 3], np.float32), None),
    ],
)
def test_answers_are_typed_and_read_back(array, field):
    proto = to_proto(array)

    if field is not None:
        assert len(getattr(proto, field))
    found = tf.io.parse_tensor(proto.SerializeToString(), array.dtype)
    if array.dtype == object:
        assert found.numpy().tolist() == array.tolist()
    else:
        np.testing.assert_array_equal(found.numpy(), array)


def test_numbers_are_packed_on_demand():
    numbers = to_proto(np.int64([1, 2]), tensor_content=True)
    strings = to_proto(np.array([b"x"], object), tensor_content=True)

    assert numbers.tensor_content == np.int64([1, 2]).tobytes()
    assert strings.string_val == [b"x"]


def test_types_have_the_names_of_cpp():
    assert type_name(types_pb2.DT_FLOAT) == "float"
    assert type_name(types_pb2.DT_BFLOAT16) == "bfloat16"
    assert type_name(types_pb2.DT_FLOAT_REF) == "float_ref"
