"""A number is one in every storage, and what is none is named."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import deepfm_tf
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.raw_values import MISSING_NUMBERS, to_numbers
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.signature import TensorInfo


@pytest.mark.parametrize("value", [*MISSING_NUMBERS, "", " NA ", None, np.nan])
def test_usual_spellings_of_missing_are_no_number(value):
    bad = {}

    numbers = to_numbers(to_arrow(["1.5", value], "c"), "c", bad)

    assert np.isnan(numbers).tolist() == [False, True]
    assert not bad
    sent = to_array("c", ["1.5", value], TensorInfo("float32", (None,)))
    np.testing.assert_array_equal(sent, np.float32([1.5, np.nan]))


def test_pandas_agrees_on_the_spellings_of_missing(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("c\n" + "".join(f"{m}\n" for m in MISSING_NUMBERS) + "1\n")

    read = pd.read_csv(path)["c"]

    assert read.isna().tolist() == [True] * len(MISSING_NUMBERS) + [False]


def test_numbers_of_every_storage_are_read():
    columns = [
        [1.5, 2**60, None],
        [decimal.Decimal("1.5"), 2.0**60, None],
        pa.array([decimal.Decimal("1.5"), decimal.Decimal(2**60), None]),
        np.array([1.5, 2**60, np.nan], np.float32),
        pd.Series(["1.5", "1152921504606846976", "NA"], dtype="category"),
        pd.Series([1.5, 2**60, pd.NA], dtype="Float64"),
        [b" 1.5", "1.152921504606847e18", np.nan],
    ]
    for column in columns:
        bad = {}
        numbers = to_numbers(to_arrow(column, "c"), "c", bad)
        np.testing.assert_array_equal(numbers, np.float32([1.5, 2**60, np.nan]))
        assert not bad


@pytest.mark.parametrize("value", ["12,5", "0x10", 1j, 1e39, "1e39", [1], "x"])
def test_what_is_no_number_is_named(value):
    field = deepfm_tf.NumericField("price")
    data = {"price": [1.5, value], "click": [0, 1]}

    with pytest.raises(
        deepfm_tf.errors.UserError, match="row 2, column 'price'.*number"
    ):
        deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "click"))
