import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from tensorflow.core.framework import types_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest import tensors as rest_tensors
from deepfm_tf.serving.rest.tensors import NamedFloat, tensor_from_json

FLOAT, DOUBLE = types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE
INT32, INT64 = types_pb2.DT_INT32, types_pb2.DT_INT64
STRING, BOOL = types_pb2.DT_STRING, types_pb2.DT_BOOL


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1, FLOAT, np.float32(1)),
        ([1, 2.5], FLOAT, np.array([1, 2.5], np.float32)),
        ([[1], [2]], DOUBLE, np.array([[1], [2]], np.float64)),
        ([1, -2], INT32, np.array([1, -2], np.int32)),
        ([2**63 - 1, -(2**63)], INT64, np.array([2**63 - 1, -(2**63)])),
        ([2**64 - 1], types_pb2.DT_UINT64, np.array([2**64 - 1], np.uint64)),
        ([2**32 - 1], types_pb2.DT_UINT32, np.array([2**32 - 1], np.uint32)),
        ([True, False], BOOL, np.array([True, False])),
        (["a", "é"], STRING, np.array([b"a", "é".encode()], object)),
        ("a", STRING, np.array(b"a", object)),
        ([], FLOAT, np.zeros([0], np.float32)),
        ([[], []], STRING, np.zeros([2, 0], object)),
        # 300 passes as an int32 and is then cut.
        ([300], types_pb2.DT_UINT8, np.array([44], np.uint8)),
        ([1e20], FLOAT, np.array([1e20], np.float32)),
        # Beyond 64 bits an integer is a double.
        ([10**20], FLOAT, np.array([1e20], np.float32)),
        ([NamedFloat("inf"), 1], FLOAT, np.array([np.inf, 1], np.float32)),
        # Beyond the mantissa an integer is rounded.
        ([1_700_000_001], FLOAT, np.array([1_700_000_000], np.float32)),
        ([-16_777_217, 0.5], FLOAT, np.array([-16_777_216, 0.5], np.float32)),
        ([2**53 + 1], DOUBLE, np.array([9_007_199_254_740_992.0])),
        ([2**64, -(2**80)], DOUBLE, np.array([2.0**64, -(2.0**80)])),
        ([[10**300]], DOUBLE, np.array([[1e300]])),
        # Beyond the range a number is infinite.
        ([1e39, -1e39], FLOAT, np.array([np.inf, -np.inf], np.float32)),
        ([10**39, 1], FLOAT, np.array([np.inf, 1], np.float32)),
        ([1.7e308], DOUBLE, np.array([1.7e308])),
        ([1e-50, -0.0], FLOAT, np.array([0, -0.0], np.float32)),
        # What came as bytes of another encoding.
        (["K\udcf6ln"], STRING, np.array([b"K\xf6ln"], object)),
    ],
)
def test_values_become_tensors_of_the_signatures_type(value, dtype, expected):
    array = tf.make_ndarray(tensor_from_json(value, dtype))

    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype


def test_tensorflow_reads_the_tensor_back():
    proto = tensor_from_json([[1.5, 2.5]], FLOAT)

    tensor = tf.io.parse_tensor(proto.SerializeToString(), tf.float32)

    np.testing.assert_array_equal(tensor, [[1.5, 2.5]])


def test_base64_objects_are_bytes():
    value = ["a", {"b64": "AP8="}, {"b64": "AP8"}, {"b64": "A P\n8="}]

    proto = tensor_from_json(value, STRING)

    assert list(proto.string_val) == [b"a"] + [b"\x00\xff"] * 3


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ("1", FLOAT, 'JSON Value: "1" Type: String is not of expected type: '
                     "float"),
        (True, FLOAT, "JSON Value: true Type: True is not of expected type: "
                      "float"),
        (None, FLOAT, "JSON Value: null Type: Null is not of expected type: "
                      "float"),
        (1.0, INT64, "JSON Value: 1.0 Type: Number is not of expected type: "
                     "int64"),
        (2**63, INT64, "JSON Value: 9223372036854775808 Type: Number is not "
                       "of expected type: int64"),
        (2**31, INT32, "JSON Value: 2147483648 Type: Number is not of "
                       "expected type: int32"),
        (-1, types_pb2.DT_UINT64, "JSON Value: -1 Type: Number is not of "
                                  "expected type: uint64"),
        (1, STRING, "JSON Value: 1 Type: Number is not of expected type: "
                    "string"),
        (1, BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
        (float("inf"), FLOAT, "JSON Parse error: Number too big to be stored "
                              "in double."),
        (10**400, DOUBLE, "JSON Parse error: Number too big to be stored in "
                          "double."),
        ([[1], [1, 2]], FLOAT, "Encountered list at unexpected size: 2 at "
                               "level: 1 expected size: 1"),
        ([1, [1]], FLOAT, "Encountered list at unexpected level: 1 expected "
                          "< 1"),
        ([[1], 1], FLOAT, "JSON Value: 1 found at incorrect level: 2 in the "
                          "JSON DOM. Expected at level: 2"),
        ({"b64": "AA", "c": 1}, STRING, "not formatted correctly for base64 "
                                        "data"),
        ({"b64": "*"}, STRING, "Unable to base64 decode"),
        ({"b64": "A"}, STRING, "Unable to base64 decode"),
        ({"b64": "é"}, STRING, "Unable to base64 decode"),
        ({"b64": "AA"}, FLOAT, "Type: Object is not of expected type: float"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(value, dtype, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        tensor_from_json(value, dtype)

    assert caught.value.code.name == "INVALID_ARGUMENT"


def test_types_that_json_cannot_carry_are_unimplemented():
    message = "Conversion of JSON Value: 1 to type: half"

    with pytest.raises(ServingError, match=message) as caught:
        tensor_from_json([1], types_pb2.DT_HALF)

    assert caught.value.code.name == "UNIMPLEMENTED"


def test_too_many_dimensions_are_refused():
    value = 1
    for _ in range(rest_tensors.MAX_RANK + 1):
        value = [value]

    with pytest.raises(ServingError, match="nested 254 deep"):
        tensor_from_json(value, FLOAT)


def test_254_dimensions_are_taken():
    value = 1
    for _ in range(rest_tensors.MAX_RANK):
        value = [value]

    assert len(tensor_from_json(value, FLOAT).tensor_shape.dim) == 254


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=3),
    st.just(NamedFloat("inf")),
    st.just({"b64": "AA=="}),
    st.just({"b64": 1}),
)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)),
    st.sampled_from([FLOAT, DOUBLE, INT32, INT64, STRING, BOOL]),
)
def test_all_at_once_and_one_by_one_agree(value, dtype):
    """The quick way takes nothing that the other refuses."""

    def result():
        try:
            return tensor_from_json(value, dtype).SerializeToString()
        except ServingError as error:
            return error.message

    quick = result()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest_tensors, "_convert_all", lambda *_: None)
        assert result() == quick
