"""Times that lost their time of day, or whose zone is another."""

import datetime
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import deepfm_tf
from deepfm_tf import Schema, TimestampField
from deepfm_tf.drift.clocks import ClockCounts

# A false alarm is an error.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

ROWS = 800


def times(start="2024-05-01", days=10, unit="s", zone=None, seed=1):
    """Random moments, most of them in the daytime, as a Series."""
    random = np.random.default_rng(seed)
    hours = np.clip(random.normal(14, 4, ROWS), 0, 23.99)
    seconds = random.integers(0, days, ROWS) * 86_400 + hours * 3600
    moments = pd.Timestamp(start) + pd.to_timedelta(seconds, "s")
    moments = pd.Series(moments).dt.floor(unit)
    return moments.dt.tz_localize(zone) if zone else moments


def drift_of(train, other):
    schema = Schema((TimestampField("at"),), "y")
    data = {"at": train, "y": np.arange(len(train)) % 2}
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    return deepfm_tf.compare_with_training({"at": other}, vocabulary)


def test_times_that_became_dates_are_told():
    (drift,) = drift_of(times(), times(seed=2).dt.date)

    assert (drift.field, drift.measure, drift.share) == ("at", "midnight", 1.0)
    assert drift.cause == "format"
    assert drift.examples[0] in {f"2024-05-{n:02d}" for n in range(1, 11)}
    assert str(drift).startswith(
        "Field 'at': 100 % of the times are at midnight (00:00:00), such as "
        f"{drift.examples[0]!r}"
    )
    assert "the time of day was lost" in str(drift)
    json.dumps(drift.to_dict())


def test_the_date_of_one_day_is_told_where_training_has_seconds():
    (drift,) = drift_of(times(), ["2024-05-12"] * 300)

    assert (drift.measure, drift.share) == ("midnight", 1.0)


def test_epochs_of_dates_are_told():
    whole = times().astype("int64") // 10**9
    days = times(seed=2).dt.floor("D").astype("int64") // 10**9

    assert [d.measure for d in drift_of(whole, days)] == ["midnight"]


def test_a_time_of_day_is_told_where_training_had_dates():
    (drift,) = drift_of(times().dt.date, times(seed=2))

    assert drift.measure == "time_of_day"
    # Next to no time is midnight.
    assert drift.share > 0.99
    assert "the model knows no other hour" in str(drift)


def test_hours_that_training_never_saw_are_told():
    morning = pd.date_range("2024-05-01", periods=12 * 60, freq="min")
    days = [morning + pd.Timedelta(days=day) for day in range(7)]
    train = np.concatenate(days)
    evening = pd.Series(train[:400] + np.timedelta64(15, "h"))

    (drift,) = drift_of(pd.Series(train), evening)

    # 15:00 to 21:39; training has 0 to 11.
    assert (drift.measure, drift.share, drift.cause) == ("hour", 1.0, "time")
    assert "have only the hours 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11" in str(
        drift
    )
    assert drift.examples[0].startswith("2024-05-01 15:")


def test_a_day_of_the_week_that_training_never_saw_is_told():
    wednesday = times(days=1)

    (drift,) = drift_of(wednesday, times("2024-05-02", days=1))

    assert (drift.measure, drift.share) == ("weekday", 1.0)
    assert "in training the times have only the days Wed" in str(drift)


@pytest.mark.parametrize(
    ("other", "measures"), [("2024-05-02", []), ("2024-05-04", ["is_weekend"])]
)
def test_only_the_parts_of_a_field_are_looked_at(other, measures):
    schema = Schema((TimestampField("at", parts=("is_weekend",)),), "y")
    data = {"at": times(days=1), "y": np.arange(ROWS) % 2}
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)

    found = deepfm_tf.compare_with_training(
        {"at": times(other, days=1)}, vocabulary
    )

    assert [drift.measure for drift in found] == measures


@pytest.mark.parametrize("unit", ["s", "15min", "h"])
@pytest.mark.parametrize("first", [0, 9, 23])
def test_rows_of_other_hours_are_no_drift(unit, first):
    # As a split by time leaves them: two hours of the day after.
    later = pd.Series(pd.date_range("2024-05-11", periods=7200, freq="s"))
    later = (later + pd.Timedelta(hours=first)).dt.floor(unit)

    assert drift_of(times(unit=unit), later) == []


def test_an_hour_at_midnight_of_hourly_times_is_no_drift():
    later = pd.Series([pd.Timestamp("2024-05-11")] * ROWS)

    assert drift_of(times(unit="h"), later) == []


def test_the_first_minutes_of_a_day_are_no_drift():
    # As of times of a quarter of an hour: half of these are midnights.
    start = pd.Timestamp("2024-05-11")
    later = [start + pd.Timedelta(minutes=15 * (n % 2)) for n in range(ROWS)]

    assert drift_of(times(unit="15min"), pd.Series(later)) == []


def test_hourly_times_that_became_dates_are_told():
    other = times(start="2024-05-11", unit="h", days=3, seed=2).dt.date

    assert [d.measure for d in drift_of(times(unit="h"), other)] == ["midnight"]


@pytest.mark.parametrize(
    ("train", "other", "zone"),
    [
        ("Etc/GMT-2", "UTC", "+00:00"),
        ("UTC", "Asia/Kolkata", "+05:30"),
        ("America/New_York", "UTC", "+00:00"),
        (None, "UTC", "+00:00"),
        ("UTC", None, "none"),
    ],
)
def test_times_of_another_zone_are_told(train, other, zone):
    drifts = drift_of(times(zone=train), times(zone=other, seed=2))

    (drift,) = drifts
    assert (drift.measure, drift.cause) == ("zone", "format")
    assert drift.share == 1.0
    assert f"does not occur in training ({zone}; in training:" in str(drift)


@pytest.mark.parametrize(
    ("train", "other"),
    [
        # Summer and winter.
        (
            times("2024-01-01", zone="Europe/Berlin"),
            times("2024-07-01", zone="Europe/Berlin"),
        ),
        (times(zone="UTC"), times(zone="UTC").dt.strftime("%FT%TZ")),
        (times(zone="UTC"), times().astype("int64") // 10**6),
        (times(), times("2024-05-11", seed=2).dt.strftime("%Y%m%d%H%M%S")),
    ],
)
def test_other_spellings_of_a_zone_are_no_drift(train, other):
    assert drift_of(train, other) == []


def test_a_few_dates_among_times_are_no_drift():
    other = times(seed=2).astype(str)
    other[:30] = other[:30].str[:10]

    assert drift_of(times(), other) == []


def test_missing_times_are_told_like_other_missing_values():
    other = times(seed=2).where(np.arange(ROWS) % 2 == 0)

    (drift,) = drift_of(times(), other)

    assert (drift.measure, drift.share) == ("missing", 0.5)


def test_counts_are_those_of_datetime():
    texts = ["2024-05-01", "2024-05-01T00:00+02:00", None, "1714557600"]
    texts += ["2024-05-02 00:00:00.5", "2024-05-01 10:30:00", "2024/05/01"]

    counts = ClockCounts.of(pa.array([*texts, "2024-05-01"]))

    # 1714557600 is ten o'clock in UTC.
    moment = datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.timezone.utc)
    assert moment.timestamp() == 1714557600
    assert counts.summary() == {
        "times": 7,
        "midnights": 4,
        "whole_hours": 5,
        "zones": {"+00:00": 1, "+02:00": 1, "none": 2},
        "hours": [0, 10],
        "weekdays": [2, 3],
    }
    assert counts.days == {(moment.date() - datetime.date(1970, 1, 1)).days}


def test_parts_add_up_to_the_whole():
    texts = times().astype(str).tolist() + times(zone="UTC").dt.date.tolist()
    texts = pa.array(list(map(str, texts)))
    whole, parts = ClockCounts.of(texts), ClockCounts()

    for start in range(0, len(texts), 300):
        parts.merge(ClockCounts.of(texts[start : start + 300]))

    assert parts.summary() == whole.summary()
    assert parts.days == whole.days
    assert len(parts.examples["midnight"]) == 3


def test_a_sample_of_many_rows_has_their_shares():
    texts = ["2024-05-01"] * 3 + [f"2024-05-01 10:00:{n:02d}" for n in range(9)]

    counts = ClockCounts.of(pa.array(texts * 5000))

    # Five standard deviations of 8,192 draws.
    assert counts.midnights / counts.times == pytest.approx(1 / 4, abs=0.024)
    assert counts.zones == {"none": counts.times - counts.midnights}


def test_prepared_data_keep_what_was_found_of_times(tmp_path):
    schema = Schema((TimestampField("at"),), "y")
    label = np.arange(ROWS) % 2
    train = deepfm_tf.prepare(
        {"at": times(), "y": label}, tmp_path / "train", schema=schema
    )

    with pytest.warns(UserWarning, match="are at midnight"):
        other = deepfm_tf.prepare(
            {"at": times().dt.date, "y": label},
            tmp_path / "other",
            vocabulary=deepfm_tf.PreparedData.load(train.directory).vocabulary,
        )

    assert train.drift == ()
    (drift,) = deepfm_tf.PreparedData.load(other.directory).drift
    assert (drift.measure, drift.share) == ("midnight", 1.0)
