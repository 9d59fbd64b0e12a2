"""A raw column of the rows that `prepare` takes."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import CategoricalField, NumericField, Part, Schema
from deepfm_tf.data import raw_column


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr("deepfm_tf.files.text.BLOCK_BYTES", 2000)
    rows = np.arange(300)
    frame = pd.DataFrame(
        {
            "user": 2**24 + rows,
            "price": [f"{n}" if n % 50 else "much" for n in rows],
            "click": rows % 2,
        }
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    return tmp_path / "log.csv"


@pytest.mark.parametrize("kind", ["no field", "numeric"])
def test_it_has_the_rows_that_are_prepared(kind, log, tmp_path):
    fields = [NumericField("price", scaling="none")]
    if kind == "numeric":  # float32 knows no user from its neighbours
        fields.append(NumericField("user"))
    schema = Schema(tuple(fields), "click")
    reading = {"part": Part(0.3, 0.9, seed=2), "on_error": "skip"}

    users = raw_column(log, "user", schema, **reading)

    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=schema, **reading)
    (batch,) = prepared.dataset(300)
    prices = batch[0]["values"][:, 0].numpy()
    assert 100 < prepared.num_rows < 200
    assert users.tolist() == [str(2**24 + int(price)) for price in prices]


def test_missing_users_are_none():
    schema = Schema((CategoricalField("a"),), "y", missing_values=("?",))
    data = {"a": ["x"] * 4, "y": [0] * 4, "user": ["u", "", "?", None]}

    assert raw_column(data, "user", schema).tolist() == ["u", *[None] * 3]


def test_an_absent_column_is_named(log):
    schema = Schema((NumericField("price"),), "click")

    with pytest.raises(ValueError, match="usr"):
        raw_column(log, "usr", schema, on_error="skip")


def test_a_part_may_go_by_a_column_that_is_no_field():
    data = {
        "a": ["x", "y"] * 5,
        "y": [0, 1] * 5,
        "user": [f"u{number}" for number in range(10)],
        "day": [f"2024-01-{day:02}" for day in range(10, 0, -1)],
    }
    schema = Schema((CategoricalField("a"),), "y")
    _, latest = deepfm_tf.split_by_time(data, "day", (0.8,))

    users = raw_column(data, "user", schema, part=latest)

    assert users.tolist() == ["u0", "u1"]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_value_without_a_text_is_refused_by_the_name_of_its_column(on_error):
    schema = Schema((NumericField("user"),), "y")
    data = {"y": [0, 1], "user": [7.0, 2.0**60]}

    with pytest.raises(deepfm_tf.UserError, match=r"row 2, column 'user \(as"):
        raw_column(data, "user", schema, on_error=on_error)
