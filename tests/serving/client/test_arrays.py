"""Every kind of column becomes what the signature wants, or is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.client.signature import TensorInfo

TEXT = TensorInfo("string", (None,))
FLOAT = TensorInfo("float32", (None,))
INT = TensorInfo("int32", (None,))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "\N{SNOWMAN}"], [b"a", "\N{SNOWMAN}".encode()]),
        (["a", None, float("nan")], [b"a", b"", b""]),
        ([b"\xff", b""], [b"\xff", b""]),
        ([7, 12], [b"7", b"12"]),
        ([2**64 - 1, 2**70], [b"18446744073709551615", str(2**70).encode()]),
        ([7.0, None], [b"7", b""]),
        ([7.25, 1e10], [b"7.25", b"10000000000"]),
        ([True, False], [b"True", b"False"]),
        ([7, "seven", None], [b"7", b"seven", b""]),
        (np.array(["a", "b"]), [b"a", b"b"]),
        (np.array([10**19], np.uint64), [b"10000000000000000000"]),
        (pd.Series(["007", None]), [b"007", b""]),
        (pd.Series(["a", np.nan], dtype=object), [b"a", b""]),
        (pd.Series(["a", pd.NA], dtype="string"), [b"a", b""]),
        (pd.Series(["a", "b", "a"], dtype="category"), [b"a", b"b", b"a"]),
        (pd.Series([1, None], dtype="Int64"), [b"1", b""]),
        (pd.Series(["x"] * 3000), [b"x"] * 3000),
        (pa.chunked_array([["a"], [None]]), [b"a", b""]),
        ([], []),
        ([None], [b""]),
    ],
)
def test_text(values, expected):
    array = to_array("site", values, TEXT)

    assert array.dtype == object
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], [1, 2.5]),
        ([1, None], [1, np.nan]),
        ([float("nan"), float("inf")], [np.nan, np.inf]),
        (["1.5", " 2 ", "", None], [1.5, 2, np.nan, np.nan]),
        ([b"1.5"], [1.5]),
        ([True, False], [1, 0]),
        (np.array([1, 2], np.int16), [1, 2]),
        (pd.Series([1.5, np.nan]), [1.5, np.nan]),
        (pd.Series([1, pd.NA], dtype="Int64"), [1, np.nan]),
        (pd.Series(["3", "4.5"]), [3, 4.5]),
        (pa.array([1, None]), [1, np.nan]),
        ([], []),
    ],
)
def test_floats(values, expected):
    array = to_array("price", values, FLOAT)

    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, -2], [1, -2]),
        ([1.0, 2.0], [1, 2]),
        (["7", " 8"], [7, 8]),
        ([True], [1]),
        (pd.Series([3, 4], dtype="Int64"), [3, 4]),
        (np.array([5], np.uint64), [5]),
    ],
)
def test_integers(values, expected):
    array = to_array("hour", values, INT)

    assert array.dtype == np.int32
    assert array.tolist() == expected


def test_a_bool_input_takes_booleans_and_zero_and_one():
    info = TensorInfo("bool", (None,))

    assert to_array("flag", [True, False], info).tolist() == [True, False]
    assert to_array("flag", [0, 1], info).tolist() == [False, True]
    with pytest.raises(ValueError, match="booleans, or 0 and 1. Received: 2"):
        to_array("flag", [0, 2], info)


@pytest.mark.parametrize(
    ("values", "info", "message"),
    [
        (
            ["1", "x"],
            FLOAT,
            "'price' must hold numbers.*'x' in row 1",
        ),
        ([1, "x"], FLOAT, "Received: 'x' in row 1"),
        ([1.5], INT, "'price' must hold integers that fit int32.*1.5"),
        ([2**40], INT, "integers that fit int32"),
        (["1.5"], INT, "must hold integers. Received: '1.5' in row 0"),
        ([1, None], INT, "an integer in each row.*nothing in row 1"),
        ([1.0, float("nan")], INT, "nothing in row 1"),
        ([[1, 2]], FLOAT, "one value a row"),
        ("abc", TEXT, "a value for each row.*Received: 'abc'"),
        (5, FLOAT, "a value for each row.*Received: 5"),
        (np.ones((2, 1)), FLOAT, r"shape \(N,\). Received: \(2, 1\)"),
        ([1, 2], TensorInfo("float32", (1,)), r"shape \(1,\). Received"),
        ([[1, 2], [3]], TensorInfo("float32", (None, 2)), "differ in length"),
        ([[1, 2], [3, "x"]], TensorInfo("float32", (None, 2)), "'x' in row 1"),
        ([[1, 2], [3, None]], TensorInfo("int32", (None, 2)), "in row 1"),
        ([[1, 2], [3, 1.5]], TensorInfo("int32", (None, 2)), "1.5.* in row 1"),
        ([["a", "b"], ["c", 1j]], TensorInfo("string", (None, 2)), "row 1 "),
        ([1], TensorInfo("complex64", (None,)), "wants complex64"),
        (pd.to_datetime(["2020-01-01"]), FLOAT, "must hold numbers"),
    ],
)
def test_what_cannot_be_taken_is_named(values, info, message):
    with pytest.raises(ValueError, match=message):
        to_array("price", values, info)


def test_matrices_and_nested_lists_fill_two_dimensions():
    info = TensorInfo("string", (None, 2))
    expected = [[b"a", b"1"], [b"", b"c"]]

    nested = to_array("packed", [["a", "1"], [None, "c"]], info)
    matrix = to_array("packed", np.array(expected, dtype=object), info)
    frame = pd.DataFrame({"x": ["a", None], "y": ["1", "c"]})

    assert nested.tolist() == matrix.tolist() == expected
    assert to_array("packed", frame, info).tolist() == expected


def test_plain_values_fill_an_input_of_one_column():
    info = TensorInfo("float32", (None, 1))

    assert to_array("price", [1, 2], info).tolist() == [[1], [2]]
    assert to_array("price", [], info).shape == (0, 1)


def test_one_value_is_enough_for_a_context_input():
    assert to_array("u", "a", TensorInfo("string", (1,))).tolist() == [b"a"]
    assert to_array("u", ["a"], TensorInfo("string", (1,))).tolist() == [b"a"]
    assert to_array("u", 2, TensorInfo("float32", (1, 1))).tolist() == [[2]]
    assert to_array("u", 2, TensorInfo("int64", ())).shape == ()
