"""Training data that keep a share of their negatives, and data with all."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import (
    CategoricalField,
    MultiValuedField,
    NumericField,
    Schema,
    TimestampField,
)
from deepfm_tf.data.reading.stream import Part
from deepfm_tf.drift.counts import DataCounts

# A false alarm is an error.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

ROWS = 20_000
SAMPLED = Part(0.0, 0.8, seed=1, negative_sampling=0.1)
OTHERS = Part(0.8, 1.0, seed=1)
SCHEMA = Schema(
    (
        CategoricalField("site", min_count=2),
        CategoricalField("shared", min_count=2, share_with="site"),
        CategoricalField("often", min_count=1),
        CategoricalField("rarely", min_count=1),
        MultiValuedField("tags", min_count=2),
        NumericField("price"),
        TimestampField("at"),
    ),
    "click",
)


def make_frame():
    """What is unseen, missing or at midnight is nearly all negative."""
    random = np.random.default_rng(3)
    label = random.integers(0, 2, ROWS)
    is_odd = (label == 0) & (random.random(ROWS) < 0.4)
    new = random.integers(1000, 10**9, ROWS)
    site = np.where(is_odd, new, random.integers(0, 9, ROWS))
    seconds = 1_700_000_000 + random.integers(0, 10**7, ROWS)
    seconds = np.where(is_odd, seconds // 86_400 * 86_400, seconds)
    text = pd.Series(site.astype(str))
    return pd.DataFrame(
        {
            "site": text,
            "shared": text.to_numpy()[::-1],
            "often": text.where(~is_odd),
            "rarely": text.where(is_odd | (label == 0), None),
            "tags": "t|" + text,
            "price": np.where(is_odd, np.nan, random.random(ROWS)),
            "at": seconds,
            "click": label,
        }
    )


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def trained(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled") / "train"
    return deepfm_tf.prepare(frame, folder, schema=SCHEMA, part=SAMPLED)


def test_data_with_all_negatives_are_no_drift(frame, trained, tmp_path):
    prepared = deepfm_tf.prepare(
        frame, tmp_path / "test", vocabulary=trained.vocabulary, part=OTHERS
    )

    assert prepared.drift == trained.drift == ()
    # Nor those without a label.
    rows = frame.drop(columns="click")[-4000:]
    assert deepfm_tf.compare_with_training(rows, trained.vocabulary) == []
    shares = {entry.field: entry for entry in prepared.shares}
    # Four standard deviations of about 700 rows that stand for 7,000.
    missing = frame["price"].isna().mean()
    found = shares["price"].missing_in_training
    assert found == pytest.approx(missing, abs=0.04)
    assert shares["site"].unseen_expected == pytest.approx(
        shares["site"].unseen, abs=0.06
    )


def test_more_than_all_negatives_have_is_told(frame, trained):
    odd = frame[frame["price"].isna()].drop(columns="click")
    other = pd.concat([odd, odd])

    found = deepfm_tf.compare_with_training(other, trained.vocabulary)

    assert {(drift.field, drift.measure) for drift in found} >= {
        *(("site", "unseen"), ("price", "missing"), ("at", "midnight")),
    }


def test_each_negative_counts_for_those_that_were_left_out(tmp_path):
    # 3 positives and 2 of 4 negatives, one of which is missing.
    label = [1, 1, 1, 0, 0, 0, 0]
    data = {"site": ["a", "a", "b", None, "a", None, "b"], "click": label}
    schema = Schema((CategoricalField("site", min_count=1),), "click")
    prepared = deepfm_tf.prepare(
        data,
        tmp_path / "a",
        schema=schema,
        part=Part(0, 1, 2, negative_sampling=0.5),
    )
    vocabulary = prepared.vocabulary
    entry = vocabulary.statistics["site"]
    negatives = entry["negatives"]

    training = DataCounts(vocabulary).training("site")
    same = DataCounts(vocabulary, 0.5).training("site")

    kept, missing = negatives["rows"], negatives["missing"]
    assert entry["rows"] == 3 + kept == prepared.num_rows
    assert 0 < missing < kept
    share = (0 + 2 * missing) / (3 + 2 * kept)
    assert training["missing"] / training["rows"] == pytest.approx(share)
    # The square of the sum of weights, by the sum of their squares.
    rows = (3 + 2 * kept) ** 2 / (3 + 4 * kept)
    assert training["rows"] == pytest.approx(rows)
    assert {k: same[k] for k in ("rows", "missing", "values", "oov")} == {
        k: entry[k] for k in ("rows", "missing", "values", "oov")
    }
