"""Columns reach their inputs as training reads them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepfm_tf.serving.client.inputs import to_input
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField

TEXT, ONE = TensorInfo("string", (None,)), TensorInfo("string", (1,))
NUMBER = TensorInfo("float32", (None,))
TAGS = ServedField("tags", "tags", separator=";")
PRICE = ServedField("price", "price", missing_values=("?", "-"))

LISTS = [["a", "b"], [], None, ["c"]]


@pytest.mark.parametrize(
    "values",
    [
        LISTS,
        tuple(LISTS),
        pd.Series(LISTS),
        pa.array(LISTS),
        pa.chunked_array([LISTS[:1], LISTS[1:]]),
        pd.Series(LISTS, dtype=pd.ArrowDtype(pa.list_(pa.string()))),
        [np.array(x, object) if x is not None else None for x in LISTS],
    ],
    ids=lambda values: type(values).__name__,
)
def test_lists_are_joined_by_the_fields_separator(values):
    array = to_input("tags", values, TEXT, TAGS)

    assert array.tolist() == [b"a;b", b"", b"", b"c"]


def test_a_missing_element_of_a_list_is_dropped():
    values = [["a", None, "b"], [np.nan], ["c"]]

    array = to_input("tags", values, TEXT, TAGS)

    assert array.tolist() == [b"a;b", b"", b"c"]


def test_numbers_in_lists_are_texts_like_all_numbers():
    assert to_input("tags", [[1, 2], [3]], TEXT, TAGS).tolist() == [
        b"1;2",
        b"3",
    ]
    matrix = np.array([["a", "b"], ["c", "d"]])
    assert to_input("tags", matrix, TEXT, TAGS).tolist() == [b"a;b", b"c;d"]


def test_the_separator_within_an_element_is_refused():
    with pytest.raises(ValueError, match="'tags', row 1.*'x;y'.*';'"):
        to_input("tags", [["a"], ["x;y", "z"]], TEXT, TAGS)

    assert to_input("tags", ["x;y"], TEXT, TAGS).tolist() == [b"x;y"]


def test_the_values_of_one_context_are_one_row():
    assert to_input("tags", ["a", "b"], ONE, TAGS).tolist() == [b"a;b"]
    assert to_input("tags", [], ONE, TAGS).tolist() == [b""]
    assert to_input("tags", [["a", "b"]], ONE, TAGS).tolist() == [b"a;b"]
    assert to_input("tags", "a;b", ONE, TAGS).tolist() == [b"a;b"]


def test_a_column_of_lists_is_refused_where_a_field_has_one_value():
    field = ServedField("site", "site")

    with pytest.raises(ValueError, match="'site' must hold one value a row"):
        to_input("site", [["a"], ["b"]], TEXT, field)


@pytest.mark.parametrize(
    "values",
    [
        ["1.5", "?", " - ", None],
        pd.Series(["1.5", "?", "- ", None]),
        pd.Series(["1.5", "?", "-", None], dtype="category"),
        pd.Series(["1.5", "?", "-", None], dtype="string"),
        np.array(["1.5", "?", "-", ""]),
        pa.array(["1.5", "?", "-", None]),
        pa.array(["1.5", "?", "-", None]).dictionary_encode(),
        [1.5, "?", b"-", float("nan")],
    ],
    ids=lambda values: str(getattr(values, "dtype", type(values).__name__)),
)
def test_marks_of_missing_are_missing_numbers(values):
    array = to_input("price", values, NUMBER, PRICE)

    np.testing.assert_array_equal(
        array, np.array([1.5, np.nan, np.nan, np.nan], np.float32)
    )


def test_other_marks_are_no_numbers():
    with pytest.raises(ValueError, match="'price' must hold numbers.*'free'"):
        to_input("price", ["1.5", "?", "free"], NUMBER, PRICE)
    with pytest.raises(ValueError, match="'price' must hold numbers.*'\\?'"):
        to_input("price", ["1.5", "?"], NUMBER)


def test_a_mark_in_a_context_is_missing():
    one = TensorInfo("float32", (1,))

    assert np.isnan(to_input("price", "?", one, PRICE)).tolist() == [True]
    assert to_input("price", 2, one, PRICE).tolist() == [2.0]


INFINITE = [
    [1.0, float("inf")],
    np.array([1, -np.inf], np.float32),
    # Beyond float32, which is what the input takes.
    np.array([1, 1e39]),
    ["1", "1e39"],
    [1, 10**39],
    ["1", "inf"],
    pd.Series([1.0, np.inf], index=[7, 8]),
    pd.Series([1.0, np.inf], dtype="Float64"),
    pd.Series([1.0, np.inf], dtype="category"),
    # As the rows of files come.
    pa.chunked_array([[1.0], [float("inf")]]),
]


@pytest.mark.parametrize("values", INFINITE)
def test_infinities_are_refused_as_in_training(values):
    message = r"Column 'cost' must hold (finite )?numbers.*(inf|39|0{39})' in"

    with pytest.raises(ValueError, match=f"{message} row 1"):
        to_input("cost", values, NUMBER, PRICE)


def test_an_infinity_of_a_context_is_refused():
    one = TensorInfo("float32", (1,))

    with pytest.raises(ValueError, match="finite numbers.*'inf' in row 0"):
        to_input("cost", float("inf"), one, PRICE)


def test_an_infinity_in_a_matrix_of_fields_is_refused():
    matrix = TensorInfo("float32", (None, 2))
    rows = [[1, 2], [3, 4], [5, float("-inf")]]

    for values in (rows, np.array(rows), np.array(rows).astype(str)):
        with pytest.raises(ValueError, match="'numbers'.*'-inf' in row 2"):
            to_input("numbers", values, matrix, has_fields=True)


def test_a_model_that_tells_no_fields_may_take_infinities():
    assert to_input("mask", [float("-inf")], NUMBER).tolist() == [-np.inf]
