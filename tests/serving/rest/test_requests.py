import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.body import parse_body
from deepfm_tf.serving.rest.requests import (
    is_row_format,
    signature_name,
    tensors_from_inputs,
    tensors_from_instances,
)


def inputs(**dtypes):
    return {
        name: meta_graph_pb2.TensorInfo(dtype=dtype)
        for name, dtype in dtypes.items()
    }


TWO = inputs(c=types_pb2.DT_STRING, n=types_pb2.DT_FLOAT)
NUMBER = inputs(n=types_pb2.DT_FLOAT)
TEXT = inputs(c=types_pb2.DT_STRING)


def arrays(tensors):
    return {name: tf.make_ndarray(proto) for name, proto in tensors.items()}


NAMES = ["性別", "a b", 'say "x"', "50%", "a.b/c:d", "\N{SNOWMAN}\n", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_an_input_may_have_any_name(name, is_ascii):
    rows = [{name: "a", "n": 1}, {"n": 2, name: "b"}]
    body = json.dumps({"instances": rows}, ensure_ascii=is_ascii).encode()
    wanted = inputs(**{name: types_pb2.DT_STRING, "n": types_pb2.DT_FLOAT})

    document = parse_body(body)
    found = arrays(tensors_from_instances(document["instances"], wanted))

    assert found[name].tolist() == [b"a", b"b"]
    assert found["n"].tolist() == [1.0, 2.0]


def test_rows_of_objects_become_a_column_an_input():
    rows = [{"c": "a", "n": 1}, {"n": 2.5, "c": "b"}]

    found = arrays(tensors_from_instances(rows, TWO))

    assert found["c"].tolist() == [b"a", b"b"]
    np.testing.assert_array_equal(found["n"], np.array([1, 2.5], np.float32))


def test_rows_of_lists_get_a_batch_dimension():
    rows = [{"c": ["a", "b"], "n": [[1]]}, {"c": ["c", "d"], "n": [[2]]}]

    found = arrays(tensors_from_instances(rows, TWO))

    assert found["c"].shape == (2, 2)
    assert found["n"].shape == (2, 1, 1)


@pytest.mark.parametrize("rows", [[1, 2], [{"n": 1}, {"n": 2}]])
def test_a_single_input_may_leave_its_name_out(rows):
    assert arrays(tensors_from_instances(rows, NUMBER))["n"].tolist() == [1, 2]


def test_base64_elements_are_values_of_a_single_input():
    rows = [{"b64": "YQ=="}, "b"]

    found = arrays(tensors_from_instances(rows, TEXT))

    assert found["c"].tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        ([1], TWO,
         "instances is a plain list, but expecting list of objects as "
         "multiple input tensors required as per tensorinfo_map"),
        ([{"c": "a", "n": "1"}], TWO,
         "Failed to process element: 0 key: n of 'instances' list. Error: "
         'INVALID_ARGUMENT: JSON Value: "1" Type: String is not of expected '
         "type: float"),
        ([{"c": "a", "n": 1}, {"c": "a"}], TWO,
         "Failed to process element: 1 of 'instances' list. JSON object: {\n"
         '    "c": "a"\n} keys must be equal to: c,n'),
        ([{"c": "a", "n": 1, "x": 1}], TWO,
         "Failed to process element: 0 key: x of 'instances' list. Error: "
         "INVALID_ARGUMENT: JSON object: does not have named input: x"),
        ([{"c": "a", "": 1}], TWO,
         "element: 0 key:  of 'instances' list. Error: INVALID_ARGUMENT: JSON "
         "object: does not have named input: "),
        ([{"c": "a", "n": 1}, 7], TWO,
         "Expecting object but got list at item 1 of input list"),
        ([{"c": "a", "n": 1}, {"b64": "YQ=="}], TWO,
         "Expecting object but got list at item 1 of input list"),
        ([1, {"n": 1}], NUMBER,
         "Expecting value/list but got object at item 1 of input list"),
        (["a", 1], TEXT,
         "Failed to process element: 1 of 'instances' list. Error: "
         "INVALID_ARGUMENT: JSON Value: 1 Type: Number is not of expected "
         "type: string"),
        ([[1], [1, 2]], NUMBER,
         "Failed to process element: 1 of 'instances' list. Error: "
         "INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2"),
        ([[1, 2], [[1, 2]]], NUMBER,
         "INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]"),
        ([[[1], [1, 2]]], NUMBER,
         "Failed to process element: 0 of 'instances' list. Error: "
         "INVALID_ARGUMENT: Encountered list at unexpected size: 2 at level: "
         "1 expected size: 1"),
    ],
)  # fmt: skip
def test_the_first_wrong_element_is_named(rows, wanted, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        tensors_from_instances(rows, wanted)

    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize("last", ["x", [1], {"n": 1}])
def test_a_wrong_element_far_in_is_named(last):
    rows = [1.0] * 1000 + [last]

    with pytest.raises(ServingError, match="(element:|item) 1000 "):
        tensors_from_instances(rows, NUMBER)


def test_a_batch_dimension_beyond_254_is_refused():
    value = 1
    for _ in range(254):
        value = [value]

    with pytest.raises(ServingError, match="may have 253 dimensions"):
        tensors_from_instances([value], NUMBER)


def test_columns_ignore_what_the_signature_does_not_know():
    value = {"c": ["a"], "n": [1], "x": object()}

    assert sorted(tensors_from_inputs(value, TWO)) == ["c", "n"]


@pytest.mark.parametrize("value", [[1, 2], {"n": [1, 2]}])
def test_a_single_column_may_leave_its_name_out(value):
    found = arrays(tensors_from_inputs(value, NUMBER))

    assert found["n"].tolist() == [1, 2]


def test_a_single_column_may_be_base64():
    assert arrays(tensors_from_inputs({"b64": "YQ=="}, TEXT))["c"] == b"a"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"c": ["a"]}, "Missing named input: n in 'inputs' object."),
        ([1],
         "inputs is a plain value/list, but expecting an object as multiple "
         "input tensors required as per tensorinfo_map"),
        ({"c": ["a"], "n": ["1"]},
         'JSON Value: "1" Type: String is not of expected type: float'),
    ],
)  # fmt: skip
def test_wrong_columns_are_refused(value, message):
    with pytest.raises(ServingError, match=re.escape(message)):
        tensors_from_inputs(value, TWO)


def test_the_key_says_the_form():
    assert is_row_format({"instances": [1]})
    assert not is_row_format({"inputs": 1})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]},
         "expecting only one of 'inputs' or 'instances' keys to exist "),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
    ],
)  # fmt: skip
def test_a_predict_body_has_one_form(document, message):
    with pytest.raises(ServingError, match=re.escape(message)):
        is_row_format(document)


def test_a_signature_name_is_a_string():
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "regress"}) == "regress"
    with pytest.raises(ServingError, match="key must be a string value"):
        signature_name({"signature_name": 1})
