"""Frames, dicts and rows are understood alike, and gaps are named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from deepfm_tf.serving.client.columns import (
    as_columns,
    check_lengths,
    check_missing,
    match_columns,
    missing_message,
    rank_columns,
    to_examples,
)
from deepfm_tf.serving.signature import (
    ServedField,
    ServedFields,
    Signature,
    TensorInfo,
)

COLUMNS = {"site": ["a", "b"], "price": [1.5, 2.5]}


@pytest.mark.parametrize(
    "data",
    [
        COLUMNS,
        pd.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        pd.DataFrame(COLUMNS).to_dict("records"),
        tuple(pd.DataFrame(COLUMNS).to_dict("records")),
    ],
)
def test_all_kinds_of_data_are_alike(data):
    columns = as_columns(data, ["site"])

    assert {n: pa.array(v).to_pylist() for n, v in columns.items()} == COLUMNS


def test_no_rows_have_every_column():
    assert as_columns([], ["site", "price"]) == {"site": [], "price": []}


def test_bare_values_are_for_the_only_input():
    assert as_columns(["a"], ["site"]) == {"site": ["a"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["a"], "DataFrame, a dict.*Received: list"),
        (
            [{"site": "a", "price": 1}, {"site": "b"}],
            "row 1 .*lacks 'price'. Write None",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["site", "site"]),
            "Received twice: 'site'",
        ),
    ],
)
def test_other_data_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        as_columns(data, ["site", "price"])


def test_columns_match_by_the_name_that_tensorflow_allows():
    columns = ["age (years)", "7th", "site", "clicked"]

    matches = match_columns(columns, ["site", "age__years_", "field_7th", "x"])

    assert matches == {
        "site": "site",
        "age__years_": "age (years)",
        "field_7th": "7th",
    }


FIELDS = ServedFields(
    (
        ServedField("a b", "a_b"),
        ServedField("class", "field_class"),
        ServedField("new", "new", has_default=True),
    )
)


def test_columns_match_by_the_names_of_the_fields():
    inputs = ["a_b", "field_class", "texts", "new"]

    by_field = match_columns(["a b", "a-b", "class", "texts"], inputs, FIELDS)
    by_input = match_columns(["a_b", "field_class"], inputs, FIELDS)
    by_both = match_columns(["a_b", "a b"], inputs, FIELDS)

    assert by_field == {
        "a_b": "a b",
        "field_class": "class",
        "texts": "texts",
    }
    assert by_input == {"a_b": "a_b", "field_class": "field_class"}
    assert by_both == {"a_b": "a b"}


def test_two_columns_are_not_meant_for_one_input():
    with pytest.raises(ValueError, match="input 'a_b'. Received: 'a b', 'a-b'"):
        match_columns(["a b", "a-b"], ["a_b"])

    assert match_columns(["a b", "a-b", "a_b"], ["a_b"]) == {"a_b": "a_b"}


def test_what_may_be_left_out_is_told_by_the_fields():
    check_missing(["new"], ["clicked"], FIELDS)
    with pytest.raises(ValueError, match="needs the columns 'a b', which"):
        check_missing(["new", "a_b"], ["clicked"], FIELDS)
    with pytest.raises(ValueError, match="Did you mean 'New'"):
        check_missing(["new"], ["New"], FIELDS)
    check_missing(["new"], ["clicked"])
    with pytest.raises(ValueError, match="Did you mean 'New'"):
        check_missing(["new"], ["New"])


def test_missing_columns_come_with_near_names():
    message = missing_message(["site_id", "hour"], ["Site_ID", "clicked"])

    assert "'site_id', 'hour'" in message
    assert "For 'site_id': Did you mean 'Site_ID'?" in message
    assert "For 'hour'" not in message


def test_columns_must_be_equally_long():
    assert check_lengths({"a": 3, "b": 3}) == 3
    with pytest.raises(ValueError, match="'a' has 3, 'b' has 2"):
        check_lengths({"a": 3, "b": 2})


ONE, MANY = TensorInfo("string", (1,)), TensorInfo("string", (None,))
OUTPUTS = {"probability": TensorInfo("float32", (None,))}
RANK = Signature("", {"user": ONE, "ad": MANY}, OUTPUTS)


@pytest.mark.parametrize(
    "context",
    [
        {"user": "u", "unused": 1},
        pd.Series({"user": "u"}),
        [{"user": "u"}],
        pd.DataFrame({"user": ["u"]}),
    ],
)
def test_contexts_of_all_kinds(context):
    columns = rank_columns(context, [{"ad": "a"}, {"ad": "b"}], RANK, "rank")

    assert list(columns["ad"]) == ["a", "b"]
    assert list(columns["user"]) in (["u"], list("u"))


def test_the_candidates_own_copy_of_the_context_is_not_used():
    frame = pd.DataFrame({"ad": ["a", "b"], "user": ["x", "y"]})

    columns = rank_columns({"user": "u"}, frame, RANK, "rank")

    assert columns["user"] == "u"


def test_a_field_on_the_wrong_side_is_named():
    with pytest.raises(ValueError, match="'ad' differs .*in `candidates`"):
        rank_columns({"user": "u", "ad": "a"}, {}, RANK, "rank")
    with pytest.raises(ValueError, match="'user' is one value .*`context`"):
        rank_columns({}, {"user": ["u"], "ad": ["a"]}, RANK, "rank")


@pytest.mark.parametrize("inputs", [{"user": ONE}, {"ad": MANY}])
def test_other_signatures_are_refused(inputs):
    signature = Signature("", inputs, OUTPUTS)

    with pytest.raises(ValueError, match="context inputs of shape.*`predict`"):
        rank_columns({"user": "u"}, {"ad": ["a"]}, signature, "x")


INPUTS = {
    "site": TensorInfo("string", (None,)),
    "price": TensorInfo("float32", (None,)),
    "hour": TensorInfo("int64", (None,)),
}


def features(example):
    """Feature name -> (kind, values)."""
    feature = example.features.feature
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


EXAMPLE_FIELDS = ServedFields(
    (
        ServedField("home-town", "home_town"),
        ServedField("tags", "tags", separator="|"),
        ServedField("price", "price", missing_values=("?",), has_default=True),
    )
)
EXAMPLE_INPUTS = {
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

    first, second = to_examples(frame, EXAMPLE_INPUTS, EXAMPLE_FIELDS)

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

    (example,) = to_examples(rows, EXAMPLE_INPUTS, EXAMPLE_FIELDS)

    assert features(example).keys() == {"home-town", "tags"}
    with pytest.raises(ValueError, match="needs the columns 'tags', which"):
        to_examples(
            [{"home_town": "a", "tag": 1}], EXAMPLE_INPUTS, EXAMPLE_FIELDS
        )
    assert to_examples([], EXAMPLE_INPUTS, EXAMPLE_FIELDS) == []


def test_ready_examples_pass_as_they_are():
    example = tf.train.Example()
    example.features.feature["a"].int64_list.value.append(1)

    assert to_examples([example], INPUTS) == [example]
    assert to_examples([example.SerializeToString()], INPUTS) == [example]
    assert to_examples([], INPUTS) == []


def test_what_is_no_feature_is_refused():
    with pytest.raises(ValueError, match="'a' must hold text or numbers"):
        to_examples([{"a": {"b": 1}}], {})
    with pytest.raises(ValueError, match="the same number of rows"):
        to_examples({"a": [1], "b": [1, 2]}, {})
