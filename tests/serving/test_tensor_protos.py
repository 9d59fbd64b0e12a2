"""Bounds on what a proto may claim, and typed answers."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.serving import tensor_protos
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.tensor_protos import (
    MAX_REPEATED_BYTES,
    serialize,
    to_proto,
    type_name,
)


def repeated(dtype, size, **fields):
    """One value for `size` rows."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("dtype", "fields", "size"),
    [
        (types_pb2.DT_FLOAT, {"float_val": [1]}, 4),
        (types_pb2.DT_COMPLEX128, {"dcomplex_val": [1, 0]}, 16),
        (types_pb2.DT_QINT8, {"int_val": [1]}, 1),
        (types_pb2.DT_STRING, {"string_val": [b"x" * 40]}, 64),
    ],
)
def test_repeating_is_bounded_in_memory(dtype, fields, size):
    rows = MAX_REPEATED_BYTES // size

    assert serialize(repeated(dtype, rows, **fields), "n0")
    with pytest.raises(ServingError, match="tensor parsing error: n0"):
        serialize(repeated(dtype, rows + 1, **fields), "n0")


def test_values_that_are_there_have_no_bound(monkeypatch):
    monkeypatch.setattr(tensor_protos, "MAX_REPEATED_BYTES", 100)
    values = np.zeros(26, np.float32)
    there = repeated(types_pb2.DT_FLOAT, 26, tensor_content=values.tobytes())

    assert serialize(there, "n0")
    with pytest.raises(ServingError, match="would take 104 bytes"):
        serialize(repeated(types_pb2.DT_FLOAT, 26, float_val=[1]), "n0")


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
