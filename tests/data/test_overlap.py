import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.data import overlap, shared_rows


def make(num_rows, seed, num_values=10_000):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "item": random.integers(0, num_values, num_rows),
            "price": random.integers(0, 3, num_rows),
            "click": random.integers(0, 2, num_rows),
        }
    )


def prepared(tmp_path, train, other):
    schema = deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("item", min_count=1),
            deepfm_tf.NumericField("price"),
        ),
        "click",
    )
    first = deepfm_tf.prepare(train, tmp_path / "train", schema=schema)
    second = deepfm_tf.prepare(
        other, tmp_path / "other", vocabulary=first.vocabulary
    )
    return first, second


@pytest.mark.parametrize("sample", [10**6, 2000])
def test_rows_that_were_trained_on_are_counted(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "SAMPLE_ROWS", sample)
    train, new = make(8000, 1), make(1000, 2)
    new["price"] += 0.5 + np.arange(1000)
    copies = train.sample(3000, random_state=3)

    found = shared_rows(
        *prepared(tmp_path, train, pd.concat([new, copies], ignore_index=True))
    )

    assert found.share == pytest.approx(0.75, abs=0.05)
    assert found.rows == pytest.approx(4000 * min(1, sample / 8000), rel=0.15)


def test_rows_that_recur_by_chance_are_told_from_copies(tmp_path):
    train, other = make(4000, 1, 500), make(1000, 2, 500)

    found = shared_rows(*prepared(tmp_path, train, other))

    keys = ["item", "price", "click"]
    again = train.duplicated(keys, keep=False).mean()
    assert found.by_chance == pytest.approx(again)
    assert found.share == pytest.approx(again, abs=0.03)


def test_numbers_of_values_do_not_hide_copies(tmp_path):
    train = make(2000, 1, num_values=1000)
    field = deepfm_tf.CategoricalField("item", encodings=("target_mean",))
    schema = deepfm_tf.Schema((field,), "click")
    first = deepfm_tf.prepare(train, tmp_path / "train", schema=schema)
    # Copies alone would be refused.
    new = pd.DataFrame({"item": [-1], "price": [0], "click": [0]})
    other = pd.concat([train[:500], new], ignore_index=True)
    second = deepfm_tf.prepare(
        other, tmp_path / "other", vocabulary=first.vocabulary
    )

    found = shared_rows(first, second)

    # A copy of a row whose item has no id is not told from others.
    known = train["item"].isin(first.vocabulary.values["item"].astype(int))
    assert found.shared == known[:500].sum()


def test_example_weights_do_not_hide_copies(tmp_path):
    log = make(1000, 1).assign(mass=1.0)
    fields = (deepfm_tf.CategoricalField("item", min_count=1),)
    schema = deepfm_tf.Schema(fields, "click", example_weight="mass")
    first = deepfm_tf.prepare(log, tmp_path / "train", schema=schema)
    second = deepfm_tf.prepare(
        log[:300].assign(mass=2.0),
        tmp_path / "other",
        vocabulary=first.vocabulary,
    )

    assert shared_rows(first, second).shared == 300
