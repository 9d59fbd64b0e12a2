"""Every kind of column becomes what the signature wants, or is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from deepfm_tf.serving.client import arrays as client_arrays
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.client.channel import PredictError
from deepfm_tf.serving.signature import ServedField, TensorInfo

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
        ([1.5], INT, "'price' must hold an integer that fits int32.*1.5"),
        ([2**40], INT, "an integer that fits int32"),
        (["1.5"], INT, "an integer .* in each row. Received: '1.5' in row 0"),
        ([1, None], INT, "in each row. Received: '' in row 1"),
        ([1.0, float("nan")], INT, "'' in row 1"),
        ([[1, 2]], FLOAT, "one value a row"),
        ("abc", TEXT, "a value for each row.*Received: 'abc'"),
        (5, FLOAT, "a value for each row.*Received: 5"),
        (np.ones((2, 1)), FLOAT, r"shape \(None,\), .* Received: \(2, 1\)"),
        ([1, 2], TensorInfo("float32", (1,)), r"shape \(1,\), .* Received"),
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


@pytest.mark.parametrize(
    ("values", "dtype", "shape", "expected"),
    [
        # Plain values fill an input of one column.
        ([1, 2], "float32", (None, 1), [[1], [2]]),
        ([], "float32", (None, 1), np.empty((0, 1)).tolist()),
        # One value is enough for a context input.
        ("a", "string", (1,), [b"a"]),
        (["a"], "string", (1,), [b"a"]),
        (2, "float32", (1, 1), [[2]]),
        (2, "int64", (), 2),
    ],
)
def test_values_take_the_shape_of_the_input(values, dtype, shape, expected):
    array = to_array("x", values, TensorInfo(dtype, shape))

    assert array.tolist() == expected
    assert array.ndim == len(shape)


ONE = TensorInfo("string", (1,))
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
    array = to_array("tags", values, TEXT, TAGS)

    assert array.tolist() == [b"a;b", b"", b"", b"c"]


@pytest.mark.parametrize(
    ("values", "info", "expected"),
    [
        # A missing element is dropped; a number is text like all numbers.
        ([["a", None, "b"], [np.nan], ["c"]], TEXT, [b"a;b", b"", b"c"]),
        ([[1, 2], [3]], TEXT, [b"1;2", b"3"]),
        (np.array([["a", "b"], ["c", "d"]]), TEXT, [b"a;b", b"c;d"]),
        (["x;y"], TEXT, [b"x;y"]),
        # The values of one context are one row.
        (["a", "b"], ONE, [b"a;b"]),
        ([], ONE, [b""]),
        ([["a", "b"]], ONE, [b"a;b"]),
        ("a;b", ONE, [b"a;b"]),
    ],
)
def test_values_of_several_are_one_text(values, info, expected):
    assert to_array("tags", values, info, TAGS).tolist() == expected


def test_the_separator_within_an_element_is_refused():
    with pytest.raises(ValueError, match="'tags', row 1.*'x;y'.*';'"):
        to_array("tags", [["a"], ["x;y", "z"]], TEXT, TAGS)


def test_a_column_of_lists_is_refused_where_a_field_has_one_value():
    field = ServedField("site", "site")

    with pytest.raises(ValueError, match="'site' must hold one value a row"):
        to_array("site", [["a"], ["b"]], TEXT, field)


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
    array = to_array("price", values, FLOAT, PRICE)

    np.testing.assert_array_equal(
        array, np.array([1.5, np.nan, np.nan, np.nan], np.float32)
    )


def test_other_marks_are_no_numbers():
    with pytest.raises(ValueError, match="'price' must hold numbers.*'free'"):
        to_array("price", ["1.5", "?", "free"], FLOAT, PRICE)
    with pytest.raises(ValueError, match="'price' must hold numbers.*'\\?'"):
        to_array("price", ["1.5", "?"], FLOAT)


def test_a_mark_in_a_context_is_missing():
    one = TensorInfo("float32", (1,))

    assert np.isnan(to_array("price", "?", one, PRICE)).tolist() == [True]
    assert to_array("price", 2, one, PRICE).tolist() == [2.0]


NAN = float("nan")


@pytest.mark.parametrize(
    ("info", "field", "values", "marks", "expected"),
    [
        # Blanks are part of a text, and not of a number.
        (TEXT, None, ["?", " ?", "a", None], ["?"], [b"", b" ?", b"a", b""]),
        (FLOAT, None, ["?", " ? ", "1.5"], ["?"], [NAN, NAN, 1.5]),
        # A mark is a text or a number, as the column is for.
        (TEXT, None, [-1, 7, None], ["-1"], [b"", b"7", b""]),
        (TEXT, None, [-1, 7], ["-1.0"], [b"-1", b"7"]),
        (FLOAT, None, [-1.0, 7.5], ["-1.0"], [NAN, 7.5]),
        (FLOAT, None, ["-1.0", "7"], ["-1"], [NAN, 7]),
        (FLOAT, PRICE, ["-1", "?", "7"], ["-1"], [NAN, NAN, 7]),
        (TEXT, TAGS, ["a;?;b", "?", "", None], ["?"], [b"a;b", b"", b"", b""]),
        (TEXT, TAGS, [["a", "?"], ["b"], []], ["?"], [b"a", b"b", b""]),
        (TEXT, None, pa.array(["a", "?"], "large_string"), ["?"], [b"a", b""]),
        (TEXT, None, pd.Series(["a", "?"], dtype="category"), ["?"],
         [b"a", b""]),
    ],
)  # fmt: skip
def test_further_marks_of_missing_are_those_of_training(
    info, field, values, marks, expected
):
    array = to_array("x", values, info, field, missing_values=marks)

    if info is FLOAT:
        np.testing.assert_array_equal(array, np.float32(expected))
    else:
        assert array.tolist() == expected


def test_an_integer_may_not_be_marked_as_missing():
    with pytest.raises(ValueError, match="in each row. Received: '' in row 1"):
        to_array("hour", [7, -1], INT, missing_values=["-1"])


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
        to_array("cost", values, FLOAT, PRICE)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2], [3, 4], [5, float("-inf")]],
        np.array([[1, 2], [3, 4], [5, -np.inf]]),
        np.array([["1", "2"], ["3", "4"], ["5", "-inf"]]),
    ],
)
def test_an_infinity_in_a_matrix_or_a_context_is_refused(rows):
    matrix, one = TensorInfo("float32", (None, 2)), TensorInfo("float32", (1,))

    with pytest.raises(ValueError, match="'numbers'.*'-inf' in row 2"):
        to_array("numbers", rows, matrix, is_finite=True)
    with pytest.raises(ValueError, match="finite numbers.*'inf' in row 0"):
        to_array("cost", float("inf"), one, PRICE)


def test_a_model_that_tells_no_fields_may_take_infinities():
    assert to_array("mask", [float("-inf")], FLOAT).tolist() == [-np.inf]


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, np.nan], np.float32),
        np.array([[1, 2], [3, 4]], np.int64),
        np.array([1, 2], np.float16),
        np.array([1.5], tf.bfloat16.as_numpy_dtype),
        np.array([True, False]),
        np.array([b"a", b"\xff"], dtype=object),
        np.array([[b"a", b"b"]], dtype=object),
        np.empty(0, np.float32),
        np.array(3, np.int32),
    ],
)
def test_arrays_survive_both_ways(array):
    proto = client_arrays.to_proto(array)

    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    assert tf.make_ndarray(proto).dtype == array.dtype
    if array.dtype != object:
        assert len(proto.tensor_content) == array.nbytes


def test_cuts_follow_bytes_and_rows(monkeypatch):
    monkeypatch.setattr(client_arrays, "MAX_MESSAGE_BYTES", 10)
    row_bytes = np.array([4, 4, 4, 25, 1, 1, 1, 1])

    slices = client_arrays.cut(row_bytes, max_rows=3)

    assert [(s.start, s.stop) for s in slices] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 7),
        (7, 8),
    ]
    assert client_arrays.cut(row_bytes[:0], 3) == [slice(0, 0)]


def test_bytes_of_rows_bound_the_request():
    arrays = [
        np.array([b"a" * 5, b"", b"a" * 300], dtype=object),
        np.ones((3, 13), np.float32),
    ]

    counted = client_arrays.bytes_of_rows(arrays, 3)

    real = [
        sum(client_arrays.to_proto(a[[n] * 1000]).ByteSize() for a in arrays)
        for n in range(3)
    ]
    assert (counted * 1000 >= np.array(real) - 64).all()
    assert (counted * 1000 <= np.array(real) * 1.1 + 4000).all()


def test_join_keeps_the_order_and_counts_the_rows():
    answers = [
        {"ctr": tf.make_tensor_proto([1.0, 2.0])},
        {"ctr": tf.make_tensor_proto([3.0])},
    ]
    slices = [slice(0, 2), slice(2, 3)]

    joined = client_arrays.join(answers, slices, "host:1")

    assert joined["ctr"].tolist() == [1, 2, 3]
    with pytest.raises(PredictError, match="gave 1 values of 'ctr' for 2"):
        client_arrays.join(answers, [slice(0, 2), slice(2, 4)], "host:1")
