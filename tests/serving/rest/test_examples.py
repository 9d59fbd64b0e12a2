import re

import pytest
from tensorflow_serving.apis import input_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.examples import fill_examples
from deepfm_tf.serving.rest.tensors import NamedFloat


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
        "float": [1.5, NamedFloat("inf"), 1e20, 10**20],
        "none": [],
    }

    (example,) = filled(examples=[row]).example_list.examples

    found = features(example)
    assert list(found["text"].bytes_list.value) == ["é".encode()]
    assert list(found["bytes"].bytes_list.value) == [b"\x00\xff", b"a"]
    assert list(found["int"].int64_list.value) == [1, -(2**63)]
    assert list(found["bool"].int64_list.value) == [1, 2]
    assert list(found["float"].float_list.value)[:2] == [1.5, float("inf")]
    assert len(found["float"].float_list.value) == 4
    assert found["none"].WhichOneof("kind") is None


def test_a_whole_number_is_an_int64():
    target = filled(examples=[{"n0": 1}, {"n0": 1.0}])

    kinds = [
        features(example)["n0"].WhichOneof("kind")
        for example in target.example_list.examples
    ]

    assert kinds == ["int64_list", "float_list"]


def test_a_float_beyond_the_range_is_infinite():
    (example,) = filled(examples=[{"n": [1e39, -1e39]}]).example_list.examples

    values = features(example)["n"].float_list.value
    assert list(values) == [float("inf"), float("-inf")]


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
