"""Where values become ids, their shares are compared with training's."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import (
    CategoricalField,
    NumericField,
    Schema,
    TimestampField,
    infer_schema,
)
from tests.catalogue import build

# A false alarm is an error.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

MESSAGE = (
    "(?s)differ from those of the training data.*Field 'device'.*"
    "'7.0' stands for"
)


def make_frame(device="{}"):
    """1,000 rows of which each device has as many."""
    numbers = np.arange(1000)
    return pd.DataFrame(
        {
            "device": [device.format(n) for n in numbers % 20],
            "price": numbers % 17 / 2,
            "click": numbers % 3 == 0,
        }
    )


def make_training():
    """With one text that is no number: "7.0" is never read as "7"."""
    frame = make_frame()
    frame.loc[frame["device"] == "13", "device"] = "x"
    return frame


@pytest.fixture(scope="module")
def trained():
    fields = (CategoricalField("device"), NumericField("price"))
    return deepfm_tf.fit_vocabulary(make_training(), Schema(fields, "click"))


@pytest.fixture
def files(tmp_path):
    make_training().to_csv(tmp_path / "good.csv", index=False)
    make_frame("{}.0").to_csv(tmp_path / "bad.csv", index=False)
    return tmp_path


READERS = {
    "encode": deepfm_tf.encode,
    "memory": deepfm_tf.dataset_from_memory,
    "text": deepfm_tf.dataset_from_text,
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_warns_of_unseen_values(name, trained, files):
    with pytest.warns(UserWarning, match=MESSAGE.replace("7", r"\d")) as told:
        READERS[name](str(files / "bad.csv"), trained)
    READERS[name](str(files / "good.csv"), trained)  # no warning: an error

    # AutoGraph has warnings of its own on Python 3.13.
    (warning,) = [w for w in told if w.category is UserWarning]
    assert warning.filename == __file__


def test_prepared_data_keep_what_was_found(trained, files):
    for number in range(2):  # the second time nothing is left to do
        with pytest.warns(UserWarning, match="The values of new differ"):
            prepared = deepfm_tf.prepare(
                files / "bad.csv", files / "new", vocabulary=trained
            )
        opened = deepfm_tf.PreparedData.load(files / "new")

        for data in (prepared, opened):
            (drift,) = data.drift
            assert (drift.field, drift.share, drift.expected) == (
                *("device", 1.0, 0.0),
            )
            device, price = data.shares
            assert (device.rows, device.unseen, device.missing) == (1000, 1, 0)
            assert (price.field, price.unseen) == ("price", 0)
        assert number < 2
    json.dumps([drift.to_dict() for drift in prepared.drift])


def test_the_training_data_are_like_themselves(files):
    fields = (CategoricalField("device"), NumericField("price"))

    prepared = deepfm_tf.prepare(
        files / "good.csv", files / "train", schema=Schema(fields, "click")
    )

    assert prepared.drift == ()
    assert [entry.unseen for entry in prepared.shares] == [0, 0]


def test_counts_do_not_depend_on_the_blocks(trained, files, monkeypatch):
    whole = deepfm_tf.compare_with_training(files / "bad.csv", trained)
    monkeypatch.setattr("deepfm_tf.files.text.BLOCK_BYTES", 500)

    parts = deepfm_tf.compare_with_training(files / "bad.csv", trained)

    assert [d.share for d in parts] == [d.share for d in whole] == [1.0]
    assert parts[0].cause == "type"


def test_unreadable_rows_of_data_to_score_are_left_out(trained):
    frame = make_frame("{}.0").drop(columns="click").astype(str)
    frame.loc[3, "price"] = "much"

    (drift,) = deepfm_tf.compare_with_training(frame, trained)

    assert (drift.field, drift.share) == ("device", 1.0)


def test_evaluate_compares_ids_too(trained):
    model = build("LogisticRegression", trained.schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = deepfm_tf.dataset_from_memory(make_frame("{}.0"), trained)

    with pytest.warns(UserWarning, match="100 % of the values are unseen"):
        metrics = deepfm_tf.evaluate(model, dataset, vocabulary=trained)

    (drift,) = metrics["drift"]
    assert (drift["field"], drift["share"]) == ("device", 1.0)
    assert "drift" not in deepfm_tf.evaluate(model, dataset)


@pytest.mark.real_data
def test_no_false_alarm_on_criteo(real_data):
    names = ["label", *(f"I{n}" for n in range(1, 14))]
    names += [f"C{n}" for n in range(1, 27)]
    frame = pd.read_csv(
        real_data / "criteo_8k" / "train.tsv", sep="\t", names=names, dtype=str
    )
    is_train = np.random.default_rng(1).random(len(frame)) < 0.8
    schema = infer_schema(frame[is_train], "label")
    vocabulary = deepfm_tf.fit_vocabulary(frame[is_train], schema)

    assert deepfm_tf.compare_with_training(frame[~is_train], vocabulary) == []


@pytest.mark.real_data
def test_no_false_alarm_on_the_hours_of_open_bandit(real_data):
    path = real_data / "obd" / "bts" / "men" / "men.csv"
    frame = pd.read_csv(path, dtype=str).sort_values("timestamp")
    schema = Schema((TimestampField("timestamp"),), "click")
    vocabulary = deepfm_tf.fit_vocabulary(frame[:8000], schema)

    for start in range(8000, 10_000, 500):
        part = frame[start : start + 500]
        assert deepfm_tf.compare_with_training(part, vocabulary) == []
