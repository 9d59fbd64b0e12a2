"""Columns to slice by, in the data's own units."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.metrics import NamedIds
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.slicing import slices_of_field
from tests.conftest import make_log

LABELS = {"y": [0, 1] * 30}


def slices(field, numbers, known=True):
    """Names of the slices, in order, and the rows in each."""
    data = pd.DataFrame({field.name: numbers, **LABELS})
    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))
    schema = vocabulary.schema
    packed = deepfm_tf.encode(data, vocabulary)
    part, place = PackedLayout(schema.fields).place(field.name)
    column = slices_of_field(
        schema,
        field.name,
        packed[part][:, place],
        vocabulary if known else vocabulary.values,
    )
    metrics = deepfm_tf.metrics.slice_metrics(
        data["y"], np.full(60, 0.5), {field.name: column}
    )
    return [(row["value"], row["rows"]) for row in metrics]


@pytest.mark.parametrize("scaling", ["none", "standardize", "log"])
def test_numbers_are_the_data_s_own_whatever_the_scaling(scaling):
    years = np.repeat([-3.0, 0.0, 2019.0, 2020.5, 123456.0], 12)

    found = slices(deepfm_tf.NumericField("n", scaling=scaling), years)

    names = ["-3", "0", "2019", "2020.5", "123456"]
    assert found == [(name, 12) for name in names]


def test_without_a_vocabulary_numbers_stay_scaled():
    field = deepfm_tf.NumericField("n", scaling="log")

    found = slices(field, [0.0, np.e - 1] * 30, known=False)

    assert found == [("0", 30), ("1", 30)]


def test_buckets_come_in_order_with_their_boundaries():
    field = deepfm_tf.BucketizedField(
        "price", "boundaries", boundaries=(3.2, 4.8)
    )
    prices = np.repeat([np.nan, 4.8, 3.2, 1.0], [10, 5, 25, 20])

    found = slices(field, prices)

    assert found == [
        ("below 3.2", 20),
        ("3.2 to 4.8", 25),
        ("from 4.8", 5),
        ("missing", 10),
    ]


@pytest.mark.parametrize("missing", ["value", "nothing"])
def test_counted_buckets_come_in_order_too(missing):
    field = deepfm_tf.BucketizedField(
        "count", "log_square", min_count=5, missing=missing
    )
    counts = np.repeat([8.0, 1.0, -2.0, 300.0, np.nan], [30, 10, 7, 3, 10])

    found = slices(field, counts)

    # ln(8)^2 is 4.3: from e^2 to e^sqrt(5).
    assert found == [
        ("-2 to -1", 7),
        ("1 to 2 and 2.72 to 4.11", 10),
        ("7.39 to 9.36", 30),
        ("missing", 10),
        ("OOV", 3),
    ]


def test_a_mapping_names_ids_alone(vocabulary):
    packed = deepfm_tf.encode(make_log(20), vocabulary)
    part, place = PackedLayout(vocabulary.schema.fields).place("site")

    column = slices_of_field(
        vocabulary.schema, "site", packed[part][:, place], {"site": ["a"]}
    )

    assert isinstance(column, NamedIds)
    assert column.names == ["OOV", "missing", "a"]
    assert not column.ordered
