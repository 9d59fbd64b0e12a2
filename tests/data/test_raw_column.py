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
