"""Metrics by the values of fields."""

import math

import numpy as np
import pandas as pd
import pytest

from deepfm_tf.metrics import NamedIds, binary_metrics, slice_metrics
from tests.metrics.rows import make_rows


@pytest.fixture(scope="module")
def rows():
    return make_rows(600)


def table(rows, values, **arguments):
    return slice_metrics(*rows, {"f": values}, **arguments)


def test_each_slice_has_the_metrics_of_its_rows(rows):
    label, p = rows
    site = np.array(["b", "a", "c"])[np.arange(600) % 7 % 3]
    weight = np.random.default_rng(1).exponential(size=600)
    groups = np.arange(600) % 40

    result = table(rows, site, weight=weight, groups=groups)

    assert [row["value"] for row in result] == ["b", "a", "c"]
    for row in result:
        chosen = site == row["value"]
        expected = binary_metrics(
            label[chosen], p[chosen], weight[chosen], groups=groups[chosen]
        )
        assert row["field"] == "f"
        assert row["share"] == pytest.approx(
            weight[chosen].sum() / weight.sum()
        )
        assert {key: row[key] for key in expected} == expected


def test_rare_values_are_pooled(rows):
    values = np.minimum(np.arange(600) % 10, np.arange(600) % 4) + 40

    result = table(rows, values, max_values=2)

    counts = pd.Series(values).value_counts()
    assert [row["value"] for row in result] == [
        str(counts.index[0]),
        str(counts.index[1]),
        "other (2 values)",
    ]
    assert [row["rows"] for row in result[:2]] == counts[:2].tolist()
    assert sum(row["rows"] for row in result) == 600


def test_one_value_alone_is_not_called_other(rows):
    result = table(rows, ["a", "b", "c"] * 200, max_values=2)

    assert [row["value"] for row in result] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2", None] * 200,
        pd.Series(["1", "2", None] * 200),
        pd.Series(["1", "2", None] * 200, dtype="category"),
        pd.Series([1, 2, None] * 200, dtype="Int64"),
        np.array(["1", "2", math.nan] * 200, dtype=object),
    ],
    ids=["list", "series", "category", "nullable", "object"],
)
def test_columns_of_any_kind_are_cut_by_their_text(rows, values):
    result = table(rows, values)

    assert [row["value"] for row in result] == ["1", "2", "missing"]
    assert [row["rows"] for row in result] == [200, 200, 200]


def test_ids_are_called_by_their_names(rows):
    ids = np.arange(600) % 5 - 1

    result = table(rows, NamedIds(ids, ["OOV", "a", "b"]))

    names = {row["value"] for row in result}
    assert names == {"missing", "OOV", "a", "b", "id 3"}


def test_ordered_ids_come_ascending_and_the_rare_ones_last(rows):
    ids = np.repeat([2, 0, 3, 1, 4], [100, 200, 250, 40, 10])

    result = table(
        rows, NamedIds(ids, list("abcde"), ordered=True), max_values=3
    )

    found = [(row["value"], row["rows"]) for row in result]
    assert found == [
        ("a", 200),
        ("c", 100),
        ("d", 250),
        ("other (2 values)", 50),
    ]


def test_a_row_of_several_values_is_in_each_of_their_slices():
    rows = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    ids = np.array([[0, 1, 1], [1, -1, -1], [-1, -1, -1], [1, 2, 3]])

    result = table(rows, NamedIds(ids, list("abcd")), max_values=2)

    found = {row["value"]: row["rows"] for row in result}
    # Row 0 holds "b" twice, row 3 two of the rare values: once each.
    assert found == {"b": 3, "missing": 1, "other (3 values)": 2}


def test_numbers_are_cut_into_ten_equal_buckets(rows):
    values = np.random.default_rng(1).normal(size=600)
    values[::6] = math.nan

    result = table(rows, values)

    assert [row["rows"] for row in result] == [50] * 10 + [100]
    assert result[-1]["value"] == "missing"
    edges = np.sort(values[~np.isnan(values)])
    assert result[0]["value"] == f"{edges[0]:.3g} to {edges[49]:.3g}"
    assert result[9]["value"] == f"{edges[450]:.3g} to {edges[499]:.3g}"


def test_a_frequent_number_is_a_bucket_of_its_own(rows):
    values = np.zeros(600)
    values[:60] = np.arange(60) + 1000.0

    result = table(rows, values)

    assert [(row["value"], row["rows"]) for row in result] == [
        ("0", 540),
        ("1000 to 1059", 60),
    ]


def test_few_numbers_are_a_bucket_each(rows):
    values = np.repeat([2.0, 123456.0, 123457.0], 200)

    result = table(rows, values)

    assert [row["value"] for row in result] == ["2", "123456", "123457"]


def test_rows_of_weight_0_are_in_no_slice(rows):
    values = np.repeat(["a", "b", "c"], 200)
    weight = np.repeat([1.0, 0.0, 3.0], 200)
    weight[0] = 0

    result = table(rows, values, weight=weight)

    assert [(row["value"], row["rows"]) for row in result] == [
        ("a", 199),
        ("c", 200),
    ]


def test_intervals_are_there_for_each_slice(rows):
    result = table(rows, ["a", "b"] * 300, confidence=0.8)

    for row in result:
        low, high = row["intervals"]["log_loss"]
        assert low < row["log_loss"] < high


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 5, r"Field 'f'.*600 rows. Received: shape \(5,\)"),
        (np.zeros((600, 2)), r"shape \(600, 2\)"),
        (NamedIds(np.zeros(5, int)), r"shape \(5,\)"),
    ],
)
def test_columns_of_another_length_are_refused(rows, values, message):
    with pytest.raises(ValueError, match=message):
        table(rows, values)


def test_other_wrong_arguments_are_refused(rows):
    with pytest.raises(TypeError, match="integers. Received: float64"):
        table(rows, NamedIds(np.zeros(600)))
    with pytest.raises(TypeError, match="such as {'hour': hour}.*ndarray"):
        slice_metrics(*rows, np.zeros(600))
    with pytest.raises(ValueError, match="max_values=0"):
        table(rows, ["a"] * 600, max_values=0)
