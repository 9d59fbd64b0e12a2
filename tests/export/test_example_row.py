"""A row to try a model with."""

import datetime

import pytest

import deepfm_tf
from deepfm_tf.export.example_row import example_row


@pytest.fixture(scope="module")
def example():
    fields = (
        deepfm_tf.CategoricalField("a b", min_count=1),
        deepfm_tf.CategoricalField("hashed", hash_buckets=5),
        deepfm_tf.MultiValuedField("tags", weight_separator=":", min_count=1),
        deepfm_tf.NumericField("price"),
        deepfm_tf.NumericField("empty"),
        deepfm_tf.TimestampField("at"),
        deepfm_tf.TimestampField("day", parts=("weekday",)),
    )
    rows = {
        "a b": ["it's", "x", "it's"],
        "hashed": ["1", "2", "3"],
        "tags": ["u:2|v:1", "v:3", ""],
        "price": [1.0, 2.0, 3.5],
        "empty": ["", "", ""],
        # Wednesday and Friday; the smallest hour is 9.
        "at": ["2024-01-31 10:30:00", "2024-02-02 09:00:00", ""],
        "day": ["2024-02-02", "2024-02-02", "2024-02-02"],
        "click": [0, 1, 1],
    }
    schema = deepfm_tf.Schema(fields, "click")
    with pytest.warns(UserWarning, match="gives the model no information"):
        vocabulary = deepfm_tf.fit_vocabulary(rows, schema)
    return example_row(vocabulary)


def test_its_values_are_frequent_ones_as_a_client_sends_them(example):
    texts = {name: example[name] for name in ("a_b", "hashed", "tags")}

    assert texts == {"a_b": "it's", "hashed": "", "tags": "v:1"}


def test_its_numbers_are_means(example):
    # 6.5 / 3 with three digits; nothing is known of the other.
    assert (example["price"], example["empty"]) == (2.17, 0.0)


def test_its_times_have_an_hour_and_a_weekday_that_occurred(example):
    at = datetime.datetime.fromisoformat(example["at"])
    day = datetime.date.fromisoformat(example["day"])

    assert (at.hour, at.weekday()) == (9, 2)
    assert day.weekday() == 4
