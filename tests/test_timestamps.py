import datetime
import os

import numpy as np
import pyarrow as pa
import pytest

from deepfm_tf import Schema, TimestampField
from deepfm_tf.export.requests import Rows
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.timestamps import NO_MOMENT, moments, time_parts
from deepfm_tf.vocabulary import Vocabulary

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
NUM_TIMES = 200 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
NO_TIMES = [
    *("", "yesterday", "12:30", "2024-1-1", "2024-13-01", "2024-01-32"),
    *("2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01"),
    *("2024-01-01 24:00", "2024-01-01 10:60", "2024-01-01 10:00:60"),
    *("2024-01-01 10:00+24:00", "2024-01-01+01:00", "2024-01-01 1"),
    # Not so many digits as seconds since 1970, or as a date, have.
    *("12345678", "14102100", "0123456789", "99999999999", "-1700000000"),
    *("1e9", "1.7e9", "17000000001234"),
]


def random_times(random):
    """Texts of times, and what Python's datetime says that they are."""
    texts, times = [], []
    for number in range(NUM_TIMES):
        time = EPOCH + datetime.timedelta(
            seconds=int(random.integers(-62_000_000_000, 250_000_000_000)),
            microseconds=int(random.integers(10**6)) * (number % 2),
        )
        if time.year < 1000:
            continue
        zone = datetime.timezone(
            datetime.timedelta(minutes=15 * int(random.integers(-48, 57)))
        )
        local = time.astimezone(zone)
        naive = time.replace(tzinfo=None)
        date = naive.date()
        for text, meant in (
            (local.isoformat(), local),
            (local.isoformat(" "), local),
            (naive.isoformat(" "), time),
            (naive.isoformat() + "Z", time),
            (naive.isoformat(" ", "minutes"), time.replace(second=0)),
            (local.isoformat(" ", "minutes"), local.replace(second=0)),
            (date.isoformat(), naive.replace(hour=0, minute=0, second=0)),
            (date.isoformat().replace("-", "/"), None),
            (date.isoformat().replace("-", ""), None),
            (naive.isoformat(" ", "seconds").translate(COMPACT), time),
        ):
            if meant is None:
                meant = datetime.datetime.combine(date, datetime.time())
            if "." not in text:
                meant = meant.replace(microsecond=0)
            texts.append(text)
            times.append(meant if meant.tzinfo else meant.replace(tzinfo=UTC))
        seconds = int(random.integers(10**8, 9 * 10**9))
        micro = int(random.integers(10**6))
        for text, kept in (
            (f"{seconds}", 0),
            (f"{seconds}.0", 0),
            (f"{seconds}.{micro:06}", micro),
            (f"{seconds}{micro // 1000:03}", micro // 1000 * 1000),
            (f"{seconds}{micro:06}", micro),
            (f"{seconds}{micro:06}789", micro),
        ):
            texts.append(text)
            times.append(
                EPOCH + datetime.timedelta(seconds=seconds, microseconds=kept)
            )
    return texts, times


COMPACT = str.maketrans("", "", "-: ")


def test_parts_and_moments_are_those_of_datetime():
    texts, times = random_times(np.random.default_rng(5))

    is_time, parts = time_parts(pa.array(texts))
    found = moments(pa.array(texts))

    assert is_time.all()
    for row, time in enumerate(times):
        came = {name: values[row] for name, values in parts.items()}
        assert came == {
            "hour": time.hour,
            "weekday": time.weekday(),
            "is_weekend": int(time.weekday() >= 5),
        }, texts[row]
        microseconds = (time - EPOCH) // datetime.timedelta(microseconds=1)
        assert found[row] == microseconds, texts[row]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_has_no_parts(text):
    column = pa.array([text, None, "2024-02-29"])

    assert time_parts(column)[0].tolist() == [False, False, True]
    assert moments(column)[0] == NO_MOMENT


@pytest.fixture
def vocabulary():
    fields = (
        TimestampField("seen", missing="nothing"),
        TimestampField("made", parts=("weekday", "hour")),
    )
    return Vocabulary(Schema(fields, "click"), {}, {"seen": {}, "made": {}})


def test_each_part_is_an_id_of_its_own(vocabulary):
    column = pa.array(["2024-01-06 13:00:00", None, "1704067200"])

    ids = vocabulary.encode({"seen": column, "made": column})["ids"]

    # OOV is 0, and missing 1 where it is a value: 13 o'clock is 1 + 13; the
    # 6th of January 2024 was a Saturday, 1 + 24 + 5; 1 + 24 + 7 + 1 is
    # the weekend. Behind: 2 + 5, and 2 + 7 + 13.
    assert ids.tolist() == [
        [14, 30, 33, 7, 22],
        [-1, -1, -1, 1, -1],
        [1, 25, 32, 2, 9],
    ]
    assert vocabulary.schema.vocabulary_sizes == (1 + 33, 2 + 31)
    assert vocabulary.values["made"][7 + 13] == "hour=13"


def test_the_graph_gives_the_parts_of_datetime(vocabulary, tmp_path):
    texts, times = random_times(np.random.default_rng(6))

    look_up = GraphLookup(vocabulary, tmp_path / "values")
    ids = look_up({"seen": texts, "made": texts})["ids"].numpy()

    for row, time in enumerate(times):
        day = time.weekday()
        parts = [1 + time.hour, 25 + day, 32 + (day >= 5), 2 + day]
        assert ids[row].tolist() == [*parts, 9 + time.hour], texts[row]


def test_the_graph_takes_what_is_no_time_as_missing(vocabulary, tmp_path):
    look_up = GraphLookup(vocabulary, tmp_path / "values")

    ids = look_up({"seen": NO_TIMES, "made": NO_TIMES})["ids"].numpy()

    assert (ids == [-1, -1, -1, 1, -1]).all()


def test_requests_that_check_an_export_have_times(vocabulary, tmp_path):
    rows = Rows.make(vocabulary, 64)

    look_up = GraphLookup(vocabulary, tmp_path / "values")

    ids = look_up(rows.raw)["ids"].numpy()
    np.testing.assert_array_equal(ids, rows.packed["ids"])
    assert {*np.unique(ids[:, 0])} >= {-1, 1 + 23, 1 + 22}
