"""A server's description of a model is read as it is, and its fields."""

import json

import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from deepfm_tf.serving.signature import (
    ModelMetadata,
    ServedField,
    ServedFields,
    TensorInfo,
    shown,
)
from tests.serving.scripted_service import FLOAT, INT, TEXT, signature_def

TOLD = {
    "format": 1,
    "fields": [
        {"name": "a b", "input": "a_b", "type": "categorical"},
        {
            "name": "tags",
            "input": "tags",
            "type": "multi_valued",
            "separator": ";",
            "weight_separator": None,
        },
        {
            "name": "price",
            "input": "price",
            "type": "numeric",
            "missing_values": ["?"],
            "default": None,
        },
    ],
}


def read(**signatures):
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "toy"
    response.model_spec.version.value = 7
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in signatures.items():
        found.signature_def[name].CopyFrom(definition)
    found.signature_def["__saved_model_init_op"].method_name = ""
    response.metadata["signature_def"].Pack(found)
    return ModelMetadata.from_response(response)


def test_signatures_are_read():
    definition = signature_def(
        {"user": (TEXT, [1]), "ad": (INT, [None]), "x": (FLOAT, None)},
        {"ctr": (FLOAT, [None, 1])},
        defaults=["ad"],
    )

    metadata = read(rank=definition)

    assert (metadata.name, metadata.version) == ("toy", 7)
    assert list(metadata.signatures) == ["rank"]
    signature = metadata.signature("rank")
    assert signature.inputs == {
        "user": TensorInfo("string", (1,)),
        "ad": TensorInfo("int64", (None,)),
        "x": TensorInfo("float32", None),
    }
    assert signature.outputs == {"ctr": TensorInfo("float32", (None, 1))}
    assert signature.context == ["user"]
    assert signature.defaults == {"ad"}
    assert signature.can_be_split


def test_an_answer_of_fixed_size_forbids_splitting():
    metadata = read(
        sum=signature_def({"x": (FLOAT, [None])}, {"sum": (FLOAT, [])}),
        fixed=signature_def({"x": (FLOAT, [3])}, {"y": (FLOAT, [None])}),
    )

    assert not metadata.signature("sum").can_be_split
    assert not metadata.signature("fixed").can_be_split


def test_only_a_signature_of_the_right_shape_tells_the_fields():
    rows, one = {"rows": (TEXT, [None])}, {"fields": (TEXT, [None])}

    right = read(fields=signature_def(rows, one))
    others = [
        read(fields=signature_def({"rows": (TEXT, [None, 2])}, one)),
        read(fields=signature_def(rows, {"names": (TEXT, [None])})),
        read(other=signature_def(rows, one)),
    ]

    assert right.can_tell_fields
    assert [metadata.can_tell_fields for metadata in others] == [False] * 3


def test_unknown_signatures_come_with_near_names():
    metadata = read(serving_default=signature_def({}, {}))

    with pytest.raises(ValueError, match="Did you mean 'serving_default'"):
        metadata.signature("serving_defualt")


def test_shapes_are_compared_as_tensorflow_does():
    for dims in (None, [], [None], [2, None]):
        info = TensorInfo("float32", None if dims is None else tuple(dims))
        for shape in ((), (2,), (2, 3), (3, 2)):
            expected = tf.TensorShape(dims).is_compatible_with(shape)
            assert info.allows(shape) == expected, (dims, shape)


@pytest.mark.parametrize(
    ("dtype", "shape", "expected"),
    [
        ("float32", (None,), 4),
        ("float32", (None, 1000), 4000),
        ("int64", (None, 10), 100),
        ("string", (None,), 64),
    ],
)
def test_a_row_of_an_answer_takes_bytes(dtype, shape, expected):
    assert TensorInfo(dtype, shape).answer_bytes == expected


def test_long_lists_are_cut():
    assert shown([]) == "none"
    assert shown(["a", "b", "c"], limit=2) == "'a', 'b' and 1 more"


def test_fields_are_read():
    fields = ServedFields.from_json(json.dumps(TOLD))

    assert fields.fields == (
        ServedField("a b", "a_b"),
        ServedField("tags", "tags", separator=";"),
        ServedField("price", "price", None, ("?",), has_default=True),
    )
    assert fields == ServedFields.from_json(json.dumps(TOLD).encode())
    assert fields.may_lack(["price"])
    assert not fields.may_lack(["price", "a_b"])
    assert not fields.may_lack(["numbers"])


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "{}", '{"fields": [1]}', b"\xff", "null"]
)
def test_an_answer_of_another_kind_tells_nothing(text):
    assert not ServedFields.from_json(text)


def test_a_matrix_is_no_fields_input():
    fields = ServedFields((ServedField("texts", "texts", separator="|"),))

    one, column, matrix = (
        TensorInfo("string", shape) for shape in ((1,), (None,), (None, 3))
    )

    assert fields.field("texts", column.shape) == fields.fields[0]
    assert fields.field("texts", one.shape) == fields.fields[0]
    assert fields.field("texts", matrix.shape) is None
    assert fields.field("other", column.shape) is None
