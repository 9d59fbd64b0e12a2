import json

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from deepfm_tf.serving.rest.texts import (
    PREVIEW_CHARS,
    decimal_texts,
    json_type,
    preview,
    type_name,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.508, "0.508"),
        (1 / 3, "0.333333343"),
        (0.2, "0.2"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (9000000.0, "9e+06"),
        (0.00003, "3e-05"),
        (16777215.0, "16777215.0"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_floats_are_written_as_tensorflow_serving_writes_them(value, text):
    assert decimal_texts(np.array([value], np.float32)) == [text]


def test_doubles_have_up_to_seventeen_digits():
    texts = decimal_texts(np.array([1 / 3, 0.5, 1e300]))

    assert texts == ["0.33333333333333331", "0.5", "1e+300"]


def test_every_float32_reads_back_as_itself():
    bits = np.random.default_rng(1).integers(0, 2**32, 20_000, np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]

    texts = decimal_texts(values)

    back = np.array([json.loads(text) for text in texts]).astype(np.float32)
    np.testing.assert_array_equal(back, values)
    assert (
        max(
            len(t.split("e")[0].strip("-").replace(".", "").lstrip("0"))
            for t in texts
        )
        <= 10
    )  # nine digits and a ".0"


def test_no_floats_are_no_texts():
    assert decimal_texts(np.array([], np.float32)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", '"1"'),
        (1, "1"),
        (1.5, "1.5"),
        (1e39, "1e+39"),
        (None, "null"),
        ([], "[]"),
        ({"a": [1]}, '{\n    "a": [\n        1\n    ]\n}'),
        ("é", '"é"'),
    ],
)
def test_preview_indents_like_tensorflow_serving(value, text):
    assert preview(value) == text


def test_preview_of_a_long_value_is_cut():
    text = preview(list(range(10**6)))

    assert len(text) == PREVIEW_CHARS + len("...")


def test_preview_survives_deep_nesting():
    value = []
    for _ in range(5000):
        value = [value]

    assert preview(value).startswith("[")


def test_json_types_have_rapidjsons_names():
    values = [None, True, False, {}, [], "", 1, 1.0]

    assert list(map(json_type, values)) == [
        "Null", "True", "False", "Object", "Array", "String", "Number",
        "Number",
    ]  # fmt: skip


def test_types_have_their_names_in_cpp():
    dtypes = [types_pb2.DT_FLOAT, types_pb2.DT_BFLOAT16, types_pb2.DT_UINT8]

    assert list(map(type_name, dtypes)) == ["float", "bfloat16", "uint8"]
    assert type_name(12345) == "unknown type 12345"
