import json
import math
import re

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import input_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.requests import (
    MAX_CONTAINERS,
    fill_examples,
    parse_body,
    predict_tensors,
)
from deepfm_tf.serving.rest.tensors import NamedFloat, text_bytes


def inputs(**dtypes):
    return {
        name: meta_graph_pb2.TensorInfo(dtype=dtype)
        for name, dtype in dtypes.items()
    }


TWO = inputs(c=types_pb2.DT_STRING, n=types_pb2.DT_FLOAT)
NUMBER = inputs(n=types_pb2.DT_FLOAT)
TEXT = inputs(c=types_pb2.DT_STRING)


def arrays(wanted, **document):
    tensors = predict_tensors(document, wanted)
    return {name: tf.make_ndarray(proto) for name, proto in tensors.items()}


NAMES = ["性別", "a b", 'say "x"', "50%", "a.b/c:d", "\N{SNOWMAN}\n", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_an_input_may_have_any_name(name, is_ascii):
    rows = [{name: "a", "n": 1}, {"n": 2, name: "b"}]
    body = json.dumps({"instances": rows}, ensure_ascii=is_ascii).encode()
    wanted = inputs(**{name: types_pb2.DT_STRING, "n": types_pb2.DT_FLOAT})

    document = parse_body(body)
    found = arrays(wanted, **document)

    assert found[name].tolist() == [b"a", b"b"]
    assert found["n"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("wanted", "document", "expected"),
    [
        (TWO, {"instances": [{"c": "a", "n": 1}, {"n": 2.5, "c": "b"}]},
         {"c": [b"a", b"b"], "n": [1, 2.5]}),
        (TWO, {"inputs": {"c": ["a"], "n": [1], "x": object()}},
         {"c": [b"a"], "n": [1]}),
        (NUMBER, {"instances": [1, 2]}, {"n": [1, 2]}),
        (NUMBER, {"instances": [{"n": 1}, {"n": 2}]}, {"n": [1, 2]}),
        (NUMBER, {"inputs": [1, 2]}, {"n": [1, 2]}),
        (NUMBER, {"inputs": {"n": [1, 2]}}, {"n": [1, 2]}),
        (TEXT, {"instances": [{"b64": "YQ=="}, "b"]}, {"c": [b"a", b"b"]}),
        (TEXT, {"inputs": {"b64": "YQ=="}}, {"c": b"a"}),
    ],
)  # fmt: skip
def test_rows_and_columns_become_a_tensor_an_input(wanted, document, expected):
    found = arrays(wanted, **document)

    assert {name: array.tolist() for name, array in found.items()} == expected


def test_rows_of_lists_get_a_batch_dimension():
    rows = [{"c": ["a", "b"], "n": [[1]]}, {"c": ["c", "d"], "n": [[2]]}]

    found = arrays(TWO, instances=rows)

    assert found["c"].shape == (2, 2)
    assert found["n"].shape == (2, 1, 1)


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        ([1], TWO,
         "instances is a plain list, but expecting list of objects as "
         "multiple input tensors required as per tensorinfo_map"),
        ([{"b64": "YQ=="}], TWO,
         "instances is a plain list, but expecting list of objects"),
        ([{"c": "a", "n": "1"}], TWO,
         "Failed to process element: 0 key: n of 'instances' list. Error: "
         'INVALID_ARGUMENT: JSON Value: "1" Type: String is not of expected '
         "type: float"),
        ([{"c": "a", "n": 1}, {"c": "a"}], TWO,
         "Failed to process element: 1 of 'instances' list. JSON object: "
         '{"c": "a"} keys must be equal to: c,n'),
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
         "INVALID_ARGUMENT: Encountered list at unexpected size: 2 at level: "
         "1 expected size: 1"),
        ([[1, 2], [[1, 2], 1]], NUMBER,
         "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
         "Encountered list at unexpected level: 2"),
        ([{"b64": "YQ"}, {"b64": "*"}], TEXT,
         "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Unable to "
         "base64 decode"),
        ([[1, 2], [3, 10**400]], NUMBER,
         "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Parse "
         "error: Number too big"),
        ([[[1], [1, 2]]], NUMBER,
         "Failed to process element: 0 of 'instances' list. Error: "
         "INVALID_ARGUMENT: Encountered list at unexpected size: 2 at level: "
         "2 expected size: 1"),
    ],
)  # fmt: skip
def test_the_first_wrong_element_is_named(rows, wanted, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        arrays(wanted, instances=rows)

    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty"),
        (b"instances = [1, 2]", ""),
        (b'{"a":}', ""),
        (b'{"a" 1}', ""),
        (b'{"a": [1], "b": 1 2}', ""),
        (b"{a:1}", ""),
        (b'{"a": "b', ""),
        (b'{"a": "\\x"}', ""),
        (b'{"a": "\\u12"}', ""),
        (b'{"a": "\x01"}', ""),
        (b'{"\xff": x}', ""),
        (b'{"a": Infi}', ""),
        (b'{"a": Infty}', ""),
        (b'{"a": [-Inf, NaN, +Inf]}', ""),
        (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid."),
        (b'{"\\uDC00": 1}', "The surrogate pair in string is invalid."),
        (b'{"a":' * 100_000, "The document is nested too deeply."),
        (b"[" * 100_000, "The document is nested too deeply."),
        (b'{"a": ' + b"9" * 5000 + b"}",
         "Number too big to be stored in double."),
        ('{"a": 1}'.encode("utf-16"), ""),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_in_the_real_servers_first_words(
    body, message
):
    with pytest.raises(ServingError) as caught:
        parse_body(body)

    assert caught.value.message.startswith("JSON Parse error: " + message)
    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1, "a": 2}', {"a": 1}),
        (b'{"a": 1, "b": 3, "a": 2, "a": 4}', {"a": 1, "b": 3}),
        (b'{"a": [{"b": 1, "b": [2]}]}', {"a": [{"b": 1}]}),
        (b'{"\\u0061": 1, "a": 2}', {"a": 1}),
    ],
)
def test_the_first_of_equal_keys_counts(body, expected):
    assert parse_body(bytearray(body)) == expected


@pytest.mark.parametrize("trailing", [b" 1", b"}", b"\n{}", b"x\xff\x00", b'"'])
def test_text_behind_the_object_is_ignored(trailing):
    assert parse_body(b'\xef\xbb\xbf {"a": 1}' + trailing) == {"a": 1}


@pytest.mark.parametrize("value", [b"1", b"Inf"])
def test_half_a_surrogate_pair_behind_the_object_is_ignored(value):
    document = parse_body(b'{"a": ' + value + b'} "\\ud800"')

    assert list(document) == ["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"K\xf6ln", b"K\xf6ln"),
        (b"\xff\\u00ff", b"\xff\xc3\xbf"),
        ("K\u00f6ln".encode(), b"K\xc3\xb6ln"),
        (b"\\ud83d\\ude00", b"\xf0\x9f\x98\x80"),
        (b"\xed\xa0\x80\\ud83d\\ude00", b"\xed\xa0\x80\xf0\x9f\x98\x80"),
        (b"\\\\ud800", b"\\ud800"),
    ],
)
def test_bytes_that_are_no_utf8_stay_as_they_are(text, expected):
    document = parse_body(b'{"a": "' + text + b'"}')

    assert text_bytes(document["a"]) == expected


def test_half_a_surrogate_pair_is_refused_beside_latin1():
    with pytest.raises(ServingError, match="The surrogate pair in string"):
        parse_body(b'{"a": "\xff", "b": "\\\\\\udcff"}')


def test_inf_is_infinity_and_nan_has_a_sign():
    body = b'{"Inf": [NaN, Inf, -Inf, "\\"Inf", -NaN, -Infinity, Infinity]} Inf'

    (values,) = parse_body(body).values()

    assert [values[0] != values[0], values[4] != values[4]] == [True, True]
    assert values[1:4] == [math.inf, -math.inf, '"Inf']
    assert values[5:] == [-math.inf, math.inf]


def test_lists_and_objects_are_counted_before_they_are_made():
    half = MAX_CONTAINERS // 2
    body = b'{"a": [' + b"[],{}," * half + b"0]}"

    with pytest.raises(ServingError, match="more than 4000000 lists"):
        parse_body(body)


def filled(**document):
    target = input_pb2.Input()
    fill_examples(document, target)
    return target


def features(example):
    return dict(example.features.feature)


def test_each_json_type_has_its_feature():
    row = {
        "text": "é",
        "bytes": [{"b64": "AP8="}, "a"],
        "int": [1, -(2**63)],
        "bool": [True, 2],
        "float": [1.5, NamedFloat("inf"), 1e39, -1e39, 1.0, 10**20],
        "none": [],
    }

    (example,) = filled(examples=[row]).example_list.examples

    found = features(example)
    assert list(found["text"].bytes_list.value) == ["é".encode()]
    assert list(found["bytes"].bytes_list.value) == [b"\x00\xff", b"a"]
    assert list(found["int"].int64_list.value) == [1, -(2**63)]
    assert list(found["bool"].int64_list.value) == [1, 2]
    inf = float("inf")
    floats = list(found["float"].float_list.value)
    assert floats[:5] == [1.5, inf, inf, -inf, 1.0]
    assert len(floats) == 6
    assert found["none"].WhichOneof("kind") is None


def test_bytes_of_another_encoding_are_kept_in_values_and_in_no_name():
    row = {"city": "K\udcf6ln", "stra\udcdfe": "a", "stra\u00dfe": "b"}

    (example,) = filled(examples=[row]).example_list.examples

    found = features(example)
    assert list(found["city"].bytes_list.value) == [b"K\xf6ln"]
    assert list(found["stra\u00dfe"].bytes_list.value) == [b"b"]
    assert len(found) == 2


@pytest.mark.parametrize("context", [{}, {"c0": "a"}])
def test_a_context_goes_beside_the_examples(context):
    target = filled(context=context, examples=[{"n0": 1.0}])

    assert target.WhichOneof("kind") == "example_list_with_context"
    assert len(target.example_list_with_context.examples) == 1
    found = features(target.example_list_with_context.context)
    assert sorted(found) == sorted(context)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was "
             "not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]},
         "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []},
         "Example must be JSON object but got JSON Array"),
        ({"examples": [{"a": None}]},
         "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]},
         "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": {"b": 1}}]},
         "Feature: a has element with unexpected JSON type: Object"),
        ({"examples": [{"a": [1, "x"]}]},
         "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": [1.5, 1]}]},
         "Unexpected element type in feature: a expecting type: float"),
        ({"examples": [{"a": ["x", 1]}]},
         "Unexpected element type in feature: a expecting type: bytes"),
        ({"examples": [{"a": 2**63}]},
         "Feature: a has uint64_t element. Only int64_t is supported."),
        ({"examples": [{"a": float("inf")}]},
         "Number too big to be stored in double."),
        ({"examples": [{"a": 10**400}]},
         "Number too big to be stored in double."),
        ({"examples": [{"a": {"b64": "*"}}]}, "Unable to base64 decode"),
    ],
)  # fmt: skip
def test_wrong_examples_are_refused(document, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        filled(**document)

    assert caught.value.code.name == "INVALID_ARGUMENT"
