"""Tensors cross the wire unchanged, in messages of bounded size."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.serving.client import tensors as client_tensors
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.signature import TensorInfo


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, np.nan], np.float32),
        np.array([[1, 2], [3, 4]], np.int64),
        np.array([1, 2], np.float16),
        np.array([1.5], tf.bfloat16.as_numpy_dtype),
        np.array([True, False]),
        np.array([b"a", b"\xff"], dtype=object),
        np.array([[b"a", b"b"]], dtype=object),
        np.empty(0, np.float32),
        np.array(3, np.int32),
    ],
)
def test_arrays_survive_both_ways(array):
    proto = client_tensors.to_proto(array)

    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    assert client_tensors.to_array(proto).dtype == array.dtype
    if array.dtype != object:
        assert len(proto.tensor_content) == array.nbytes


def test_typed_values_are_read_too():
    proto = tf.make_tensor_proto([0.5, 0.25])
    proto.ClearField("tensor_content")
    proto.float_val.extend([0.5, 0.25])

    assert client_tensors.to_array(proto).tolist() == [0.5, 0.25]


def test_cuts_follow_bytes_and_rows(monkeypatch):
    monkeypatch.setattr(client_tensors, "MAX_MESSAGE_BYTES", 10)
    row_bytes = np.array([4, 4, 4, 25, 1, 1, 1, 1])

    slices = client_tensors.cut(8, row_bytes, max_rows=3)

    assert [(s.start, s.stop) for s in slices] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 7),
        (7, 8),
    ]
    assert client_tensors.cut(0, row_bytes[:0], 3) == [slice(0, 0)]


def test_bytes_of_rows_bound_the_request():
    arrays = [
        np.array([b"a" * 5, b"", b"a" * 300], dtype=object),
        np.ones((3, 13), np.float32),
    ]

    counted = client_tensors.bytes_of_rows(arrays, 3)

    real = [
        sum(client_tensors.to_proto(a[[n] * 1000]).ByteSize() for a in arrays)
        for n in range(3)
    ]
    assert (counted * 1000 >= np.array(real) - 64).all()
    assert (counted * 1000 <= np.array(real) * 1.1 + 4000).all()


def test_rows_of_answer_follow_the_outputs():
    floats = {"ctr": TensorInfo("float32", (None,))}
    wide = {"scores": TensorInfo("float32", (None, 1000))}
    integers = {"ids": TensorInfo("int64", (None, 10))}
    unknown = {"text": TensorInfo("string", (None,))}

    rows = [
        client_tensors.rows_of_answer(outputs)
        for outputs in (floats, wide, integers, unknown)
    ]

    assert rows == [1_000_000, 1000, 40_000, 62_500]


def test_join_keeps_the_order_and_counts_the_rows():
    answers = [
        {"ctr": tf.make_tensor_proto([1.0, 2.0])},
        {"ctr": tf.make_tensor_proto([3.0])},
    ]
    slices = [slice(0, 2), slice(2, 3)]

    joined = client_tensors.join(answers, slices, "host:1")

    assert joined["ctr"].tolist() == [1, 2, 3]
    with pytest.raises(PredictError, match="gave 1 values of 'ctr' for 2"):
        client_tensors.join(answers, [slice(0, 2), slice(2, 4)], "host:1")
