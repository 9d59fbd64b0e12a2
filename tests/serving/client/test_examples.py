"""Rows become tf.Examples of the kinds that a model reads."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from deepfm_tf.serving.client.examples import to_examples
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField, ServedFields

INPUTS = {
    "site": TensorInfo("string", (None,)),
    "price": TensorInfo("float32", (None,)),
    "hour": TensorInfo("int64", (None,)),
}


def features(serialized):
    """Feature name -> (kind, values)."""
    feature = tf.train.Example.FromString(serialized).features.feature
    return {
        name: (kind, list(getattr(value, kind).value))
        for name, value in feature.items()
        for kind in [value.WhichOneof("kind")]
    }


def test_kinds_follow_the_signature():
    rows = [{"site": 7, "price": "1", "hour": 3.0, "clicked": 1}]

    (example,) = to_examples(rows, INPUTS)

    assert features(example) == {
        "site": ("bytes_list", [b"7"]),
        "price": ("float_list", [1.0]),
        "hour": ("int64_list", [3]),
        "clicked": ("int64_list", [1]),
    }


def test_kinds_follow_the_values_elsewhere():
    rows = [{"a": "x", "b": b"y", "c": 1, "d": 2.5, "e": True, "f": [1, 2]}]

    (example,) = to_examples(rows, {})

    assert features(example) == {
        "a": ("bytes_list", [b"x"]),
        "b": ("bytes_list", [b"y"]),
        "c": ("int64_list", [1]),
        "d": ("float_list", [2.5]),
        "e": ("int64_list", [1]),
        "f": ("int64_list", [1, 2]),
    }


@pytest.mark.parametrize("inputs", [INPUTS, {}])
def test_what_is_missing_is_left_out(inputs):
    frame = pd.DataFrame({"site": ["a", None], "price": [np.nan, 2.0]})

    first, second = to_examples(frame, inputs)

    assert features(first) == {"site": ("bytes_list", [b"a"])}
    assert features(second) == {"price": ("float_list", [2.0])}


FIELDS = ServedFields(
    (
        ServedField("home-town", "home_town"),
        ServedField("tags", "tags", separator="|"),
        ServedField("price", "price", missing_values=("?",), has_default=True),
    )
)
INPUTS_OF_FIELDS = {
    "home_town": TensorInfo("string", (None,)),
    "tags": TensorInfo("string", (None,)),
    "price": TensorInfo("float32", (None,)),
}


def test_features_are_called_like_the_fields_and_missing_is_sent():
    frame = pd.DataFrame(
        {
            "home-town": ["a", None],
            "tags": [["x", "y"], []],
            "price": ["?", 2.0],
            "clicked": [pd.Timestamp("2024-01-01")] * 2,
        }
    )

    first, second = to_examples(frame, INPUTS_OF_FIELDS, FIELDS)

    kind, (price,) = features(first).pop("price")
    assert kind == "float_list" and np.isnan(price)
    assert features(first).keys() == {"home-town", "tags", "price"}
    assert features(first)["home-town"] == ("bytes_list", [b"a"])
    assert features(first)["tags"] == ("bytes_list", [b"x|y"])
    assert features(second) == {
        "home-town": ("bytes_list", [b""]),
        "tags": ("bytes_list", [b""]),
        "price": ("float_list", [2.0]),
    }


def test_a_column_without_a_default_must_be_there():
    rows = [{"home_town": "a", "tags": "x"}]

    (example,) = to_examples(rows, INPUTS_OF_FIELDS, FIELDS)

    assert features(example).keys() == {"home-town", "tags"}
    with pytest.raises(ValueError, match="needs the columns 'tags', which"):
        to_examples([{"home_town": "a", "tag": 1}], INPUTS_OF_FIELDS, FIELDS)
    assert to_examples([], INPUTS_OF_FIELDS, FIELDS) == []


def test_ready_examples_pass_as_they_are():
    example = tf.train.Example()
    example.features.feature["a"].int64_list.value.append(1)

    assert to_examples([example], INPUTS) == [example.SerializeToString()]
    assert to_examples([b"xyz"], INPUTS) == [b"xyz"]


def test_no_rows_make_no_examples():
    assert to_examples([], INPUTS) == []


def test_what_is_no_feature_is_refused():
    with pytest.raises(ValueError, match="'a' must hold text or numbers"):
        to_examples([{"a": {"b": 1}}], {})
    with pytest.raises(ValueError, match="the same number of rows"):
        to_examples({"a": [1], "b": [1, 2]}, {})
