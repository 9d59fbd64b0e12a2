"""Frames, dicts and rows are understood alike, and gaps are named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepfm_tf.serving.client.columns import (
    as_columns,
    check_missing,
    match_columns,
    missing_message,
    num_rows_of,
)
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField, ServedFields

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
    with pytest.raises(TypeError, match="DataFrame, a dict.*Received: list"):
        as_columns(["a"], ["site", "price"])


def test_rows_must_have_the_same_keys():
    with pytest.raises(ValueError, match="row 1 .*lacks 'price'. Write None"):
        as_columns([{"site": "a", "price": 1}, {"site": "b"}], ["site"])


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1, 2]], columns=["site", "site"])

    with pytest.raises(ValueError, match="Received twice: 'site'"):
        as_columns(frame, ["site"])


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
    inputs = {n: TensorInfo("float32", (None,)) for n in "ab"}
    inputs["c"] = TensorInfo("float32", (1,))
    arrays = {"a": np.ones(3), "b": np.ones(3), "c": np.ones(1)}

    assert num_rows_of(arrays, inputs) == 3
    with pytest.raises(ValueError, match="'a' has 3, 'b' has 2"):
        num_rows_of({**arrays, "b": np.ones(2)}, inputs)
