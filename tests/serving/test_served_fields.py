"""What a model tells of its fields is read, and nothing else believed."""

import json

import pytest

from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField, ServedFields

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
