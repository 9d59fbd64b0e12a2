import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.tensors import (
    MAX_SHOWN,
    NamedFloat,
    outputs_json,
    short_floats,
    shown,
    tensor_from_json,
)

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
        (["a", {"b64": "AP8="}, {"b64": "AP8"}, {"b64": "A P\n8="}], STRING,
         np.array([b"a"] + [b"\x00\xff"] * 3, object)),
        # What came as bytes of another encoding.
        (["K\udcf6ln"], STRING, np.array([b"K\xf6ln"], object)),
    ],
)  # fmt: skip
def test_values_become_tensors_of_the_signatures_type(value, dtype, expected):
    proto = tensor_from_json(value, dtype)
    tensor = tf.io.parse_tensor(proto.SerializeToString(), dtype).numpy()

    np.testing.assert_array_equal(tensor, expected)
    assert proto.dtype == dtype


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
        ([1, [1]], FLOAT, "Encountered list at unexpected level: 1"),
        ([[1], 1], FLOAT, "JSON Value: 1 found at incorrect level: 2 in the "
                          "JSON DOM."),
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


@pytest.mark.parametrize("place", [0, 1, 6, 9])
def test_the_first_wrong_value_is_shown(place):
    values = [1] * place + ["a"] + ["b"] * (9 - place)

    with pytest.raises(ServingError, match='JSON Value: "a" Type: String'):
        tensor_from_json(values, INT64)


EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
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


def is_taken(value, dtype):
    try:
        tensor_from_json(value, dtype)
    except ServingError:
        return False
    return True


@settings(max_examples=40 * EXAMPLES, deadline=None)
@given(
    st.lists(SCALARS, min_size=1, max_size=4),
    st.sampled_from([FLOAT, DOUBLE, INT32, INT64, STRING, BOOL]),
)
def test_a_list_is_taken_if_all_of_its_values_are(values, dtype):
    assert is_taken(values, dtype) == all(is_taken(v, dtype) for v in values)


@pytest.mark.parametrize("dtype", [FLOAT, DOUBLE, INT64, STRING])
@given(st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3)))
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_lists_of_unequal_lengths_are_refused(dtype, nested):
    def filled(value):
        if value is None:
            return "a" if dtype == STRING else 1
        return list(map(filled, value))

    def is_regular(value):
        try:
            np.array(value)
        except ValueError:
            return False
        return True

    value = filled(nested)

    assert is_taken(value, dtype) == is_regular(value)


def test_a_long_or_deep_value_is_cut():
    deep = []
    for _ in range(5000):
        deep = [deep]

    assert len(shown(list(range(10**6)))) == MAX_SHOWN + len("...")
    assert shown(deep) == "[" * MAX_SHOWN + "..."


def test_every_float32_reads_back_as_itself():
    bits = np.random.default_rng(1).integers(0, 2**32, 20_000, np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]

    texts = list(map(json.dumps, short_floats(values.tolist())))

    back = np.array(list(map(json.loads, texts))).astype(np.float32)
    np.testing.assert_array_equal(back, values)
    # Nine digits, a point and zeros beside it, a sign and an exponent.
    assert max(len(re.sub("e.*|^-?[0.]*|[0.]*$", "", t)) for t in texts) <= 10


def rows(values):
    return json.loads(outputs_json(values, in_rows=True))["predictions"]


def columns(values):
    return json.loads(outputs_json(values, in_rows=False))["outputs"]


def outputs(**values):
    return {name: tf.make_tensor_proto(value) for name, value in values.items()}


def typed(values):
    """A float tensor as TensorFlow Serving sends it: in `float_val`."""
    array = np.array(values, np.float32)
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(array.ravel().tolist())
    return proto


@pytest.mark.parametrize(
    "name", ["a", "性別", 'say "x"', "%s", "\N{SNOWMAN}\n"]
)
def test_several_outputs_are_objects_by_any_name(name):
    values = {name: typed([[1, 2], [3, 4]]), "50%": typed([-0.0, 6])}

    assert rows(values) == [
        {name: [1.0, 2.0], "50%": 0.0},
        {name: [3.0, 4.0], "50%": 6.0},
    ]
    assert columns(values) == {name: [[1.0, 2.0], [3.0, 4.0]], "50%": [0.0, 6]}
    assert str(columns(values)["50%"][0]) == "-0.0"


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 0, 3), (2, 1, 3)])
def test_any_shape_is_nested_right(shape):
    array = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)

    assert rows(outputs(x=array)) == array.tolist()
    assert columns(outputs(x=array)) == array.tolist()


def test_a_scalar_is_an_output_but_no_row():
    values = outputs(x=np.float32(0.5))

    assert columns(values) == 0.5
    with pytest.raises(
        ServingError, match="Tensor name: x has no shape information "
    ):
        rows(values)


def test_more_dimensions_than_numpy_has_are_written():
    proto = typed([0.5])
    del proto.tensor_shape.dim[:]
    for _ in range(100):
        proto.tensor_shape.dim.add(size=1)

    text = outputs_json({"x": proto}, in_rows=True).decode()

    assert "[" * 100 + "0.5" + "]" * 100 in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([2**64 - 1], np.uint64), [2**64 - 1]),
        (np.array([-1], np.int8), [-1]),
        (np.array([True, False]), [True, False]),
        (np.array([1 / 3]), [1 / 3]),
        (["é", 'a"\n'], ["é", 'a"\n']),
    ],
)
def test_types_keep_their_values(value, expected):
    assert rows(outputs(x=value)) == expected


def test_named_bytes_are_base64_and_other_strings_leave_as_they_are():
    assert rows(outputs(image_bytes=[b"\x00\xff"])) == [{"b64": "AP8="}]
    assert b'["a\xff"]' in outputs_json(outputs(text=[b"a\xff"]), in_rows=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        (outputs(a=[1.0], b=[1.0, 2.0]),
         "Tensor name: b has inconsistent batch size: 2"),
        (outputs(a=np.array([1], np.float16)),
         "Failed to write JSON value for tensor type: half"),
    ],
)  # fmt: skip
def test_what_has_no_rows_is_refused(values, message):
    with pytest.raises(ServingError, match=re.escape(message)):
        rows(values)
