"""A value has one text, and so one id, whatever stores it."""

import datetime as dt
import decimal
import os
import subprocess
import sys
import uuid
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import deepfm_tf
from deepfm_tf.data.reading.columns import check_columns
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.raw_values import (
    NoTextError,
    to_text,
    to_texts,
)
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.signature import TensorInfo
from deepfm_tf.vocabulary import Vocabulary
from tests.raw_values.kinds import HOUR, KINDS, SETTINGS, WRITTEN

BUCKETS = 2**31 - 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (-(10**25), "-10000000000000000000000000"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (7.0, "7"),
        (-0.0, "0"),
        (1e10, "10000000000"),
        (2.0**53, "9007199254740992"),
        (np.float32(123456792), "123456792"),
        (np.float16(2048), "2048"),
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (1e-05, "1e-05"),
        (12345678901.25, "12345678901.25"),
        (float("inf"), "inf"),
        (True, "True"),
        (np.False_, "False"),
        (dt.date(2024, 2, 1), "2024-02-01"),
        (dt.datetime(2024, 2, 1), "2024-02-01"),
        (dt.datetime(2024, 2, 1, 10, 30), "2024-02-01 10:30:00"),
        (dt.datetime(2024, 2, 1, 10, 30, 0, 500_000), "2024-02-01 10:30:00.5"),
        (dt.datetime(2024, 2, 1, tzinfo=HOUR), "2024-02-01 00:00:00+01:00"),
        (
            dt.datetime(
                *(2024, 2, 1, 10, 30, 0, 120_000),
                dt.timezone(-dt.timedelta(hours=3, minutes=30, seconds=5)),
            ),
            "2024-02-01 10:30:00.12-03:30:05",
        ),
        (dt.datetime(44, 3, 15, 0, 0, 10), "0044-03-15 00:00:10"),
        (pd.Timestamp(1), "1970-01-01 00:00:00.000000001"),
        (pd.Timestamp(10, tz="UTC"), "1970-01-01 00:00:00.00000001+00:00"),
        (np.datetime64("2024-02"), "2024-02-01"),
        (np.datetime64("2024-02-01T10"), "2024-02-01 10:00:00"),
        (dt.time(1, 2, 3, 4), "01:02:03.000004"),
        (decimal.Decimal("1.50"), "1.50"),
        (decimal.Decimal("1E+3"), "1E+3"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (pd.Period("2024-02", "M"), "2024-02"),
        (pd.Interval(0, 1), "(0, 1]"),
        ("007", "007"),
        ("7.0", "7.0"),
        (" a ", " a "),
        ("é".encode(), "é"),
        *((v, None) for v in (None, pd.NA, pd.NaT, np.nan, np.float32("nan"))),
        (np.datetime64("NaT", "s"), None),
        (decimal.Decimal("NaN"), None),
    ],
    ids=repr,
)
def test_a_value_has_one_text(value, text):
    assert to_text(value) == text


@pytest.mark.parametrize(
    "value",
    [
        2.0**53 + 2,
        1e20,
        np.float32(2**60),
        1j,
        np.complex64(1),
        {"a": 1},
        [1],
        {1},
        np.array([1, 2]),
        dt.timedelta(1),
        np.timedelta64(1, "D"),
        pd.Timedelta(1),
        b"\xff",
        "\ud800",
        object(),
        10**5000,
        np.datetime64(2**55, "s"),
        pd.Timestamp(np.datetime64("12000-01-01", "s")),
    ],
    ids=lambda v: f"{type(v).__name__}",
)
@pytest.mark.parametrize("way", ["frame", "beside text", "client"])
def test_a_value_without_a_text_is_refused_by_column(value, way):
    with pytest.raises(NoTextError):
        to_text(value)
    values = [value, "a"] if way == "beside text" else [value] * 2
    column = pd.Series(values, dtype=object)
    if way == "client":
        info = TensorInfo("string", (None,))
        if isinstance(value, bytes):
            return  # such an input takes any bytes

        with pytest.raises(deepfm_tf.errors.UserError, match="device"):
            to_array("device", column, info)
        return

    with pytest.raises(deepfm_tf.errors.UserError, match="device"):
        deepfm_tf.fit_vocabulary(
            pd.DataFrame({"device": column, "click": [0, 1]}), schema("device")
        )


def schema(name, **arguments):
    field = deepfm_tf.CategoricalField(name, **arguments)
    return deepfm_tf.Schema((field,), "click")


@pytest.fixture(scope="module")
def hashed():
    """A vocabulary whose ids tell texts apart."""
    return Vocabulary(schema("c", hash_buckets=BUCKETS), {}, {"c": {}})


@pytest.fixture(scope="module")
def whole_numbers():
    """One whose training data held whole numbers alone."""
    return Vocabulary(
        schema("c", hash_buckets=BUCKETS), {}, {"c": {"whole_numbers": True}}
    )


def ids_of(texts):
    hashes = tf.strings.to_hash_bucket_fast([t or "" for t in texts], BUCKETS)
    return [
        1 if text is None else int(number) + 2
        for text, number in zip(texts, hashes, strict=True)
    ]


def check(column, texts, vocabulary, folder):
    """All ways in give the ids of the texts."""
    sources = {"dict": {"c": column}}
    if isinstance(column, pd.Series):
        sources["frame"] = pd.DataFrame({"c": column})
    else:
        sources["Parquet"] = folder / "x.parquet"
        pa.parquet.write_table(pa.table({"c": column}), folder / "x.parquet")
    for way, source in sources.items():
        ids = deepfm_tf.encode(source, vocabulary)["ids"][:, 0].tolist()
        assert ids == ids_of(texts), (way, column)

    sent = to_array("c", column, TensorInfo("string", (None,)))
    assert [text.decode() or None for text in sent] == texts, column


@pytest.mark.parametrize("kind", KINDS)
def test_equal_values_have_one_id_in_every_storage(
    kind, hashed, tmp_path_factory
):
    values, text_of, storages = KINDS[kind]
    folder = tmp_path_factory.mktemp("x")
    rows = st.lists(values | st.none(), min_size=1)
    if kind == "moments of a zone":
        rows = values

    @SETTINGS
    @hypothesis.given(rows)
    def run(rows):
        texts = [None if v is None else text_of(v) for v in rows]
        hypothesis.assume(any(texts))
        for storage in storages.values():
            check(storage(rows), texts, hashed, folder)

    run()


def test_the_graph_has_the_ids_of_the_client_s_texts(hashed):
    column = pd.Series([7.0, None, 1e10, -0.0])
    sent = to_array("c", column, TensorInfo("string", (None,)))

    ids = GraphLookup(hashed, os.devnull)({"c": tf.constant(sent)})["ids"]

    assert ids[:, 0].numpy().tolist() == ids_of(["7", None, "10000000000", "0"])
    assert deepfm_tf.encode({"c": column}, hashed)["ids"].tolist() == (
        ids.numpy().tolist()
    )


@pytest.mark.parametrize(("kind", "storage", "is_kept"), WRITTEN)
def test_a_csv_file_has_the_ids_of_the_frame(
    kind, storage, is_kept, whole_numbers, tmp_path_factory
):
    values, _, storages = KINDS[kind]
    path = tmp_path_factory.mktemp("x") / "x.csv"
    if is_kept is not None:
        values = values.filter(is_kept)
    rows = st.lists(values | st.none(), min_size=1)
    if kind == "moments of a zone":
        storage, rows = (
            storages["zone"],
            values.map(lambda ms: [m.replace(microsecond=0) for m in ms]),
        )

    @SETTINGS
    @hypothesis.given(rows)
    def run(rows):
        # A second column: pandas quotes an empty line.
        frame = pd.DataFrame({"c": storage(rows), "d": 1})
        frame.to_csv(path, index=False)

        written, held = (
            deepfm_tf.encode(source, whole_numbers)["ids"].tolist()
            for source in (path, frame)
        )

        assert written == held

    run()


@pytest.mark.parametrize(
    "array",
    [
        np.array([7, 8], ">i4"),
        np.array([7, 8], ">f8"),
        np.array([7, 8], np.uint8),
        np.array([7, 8], np.longdouble),
        np.array(["7", "8"]),
        np.array([b"7", b"8"]),
        np.array([7, 8], object),
        [7, 8.0],
        (7, np.float32(8)),
        [decimal.Decimal(7), 8.0],
        range(7, 9),
        pd.Index([7, 8]),
        pd.array([7, 8]),
        pa.chunked_array([[7], [8]]),
        pd.Series([7.0, 8]).astype("category"),
        pd.Series([7, 8.0], dtype=object).astype("category"),
        pd.Series(["7", "8"]).astype("category"),
    ],
    ids=lambda array: f"{type(array).__name__}-{getattr(array, 'dtype', '')}",
)
def test_whole_numbers_of_every_array_are_their_digits(array):
    bad = {}

    assert to_texts(to_arrow(array, "c"), "c", bad).to_pylist() == ["7", "8"]
    assert not bad


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([(1, 2)], "i4,i4"), "'c' must hold text or numbers"),
        (np.array([1j]), r"'c' must hold text or numbers.*such as 1j"),
        (np.array([1], "M8[as]"), "'c' must hold moments in nano"),
        (pa.array([{"x": 1}]), r"struct<x: int64>, such as {'x': 1}"),
        (pa.array([[1]]), r"one value a row.*such as \[1\]"),
        (pa.array([dt.timedelta(1)]), "'c' must.*such as 1 day.*seconds"),
    ],
)
def test_arrays_without_texts_are_refused_in_a_sentence(array, message):
    with pytest.raises(deepfm_tf.errors.UserError, match=message):
        to_texts(to_arrow(array, "c"), "c", {})


def test_moments_beyond_the_calendar_are_refused_by_row():
    bad = {}

    texts = to_texts(pa.array([0, 2**55], pa.timestamp("s")), "c", bad)

    assert texts[0].as_py() == "1970-01-01"
    assert list(bad) == [1] and "not a moment between the years" in bad[1][2]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.string_view()),
        *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)),
    ],
    ids=str,
)
def test_texts_of_every_layout_are_each_looked_at_once(kind):
    column = pa.array(["ab", None, "ab", "cd"]).cast(pa.binary()).to_pylist()
    is_bytes = "binary" in str(kind)
    texts = [c if c is None or is_bytes else c.decode() for c in column]
    table = pa.table({"device": pa.array(texts, kind)})

    checked = check_columns(table, schema("device"), with_label=False)

    found = checked.columns["device"]
    assert found.to_pylist() == ["ab", None, "ab", "cd"]
    assert len(found.dictionary) < len(texts)


def test_a_value_does_not_depend_on_its_block(monkeypatch):
    values = [7.0, True, "x", 7, None, dt.date(2024, 1, 1), 0.5, "x"]
    frame = pd.DataFrame({"c": pd.Series(values, dtype=object)})
    vocabulary = Vocabulary(schema("c", hash_buckets=BUCKETS), {}, {"c": {}})
    expected = ids_of(["7", "True", "x", "7", None, "2024-01-01", "0.5", "x"])

    for size in (1, 3, 100):
        monkeypatch.setattr(deepfm_tf.files.readers, "BLOCK_ROWS", size)
        ids = deepfm_tf.encode(frame, vocabulary)["ids"][:, 0].tolist()
        assert ids == expected


@pytest.mark.slow_process
def test_periods_of_a_parquet_file_are_none_of_their_ordinals(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pd.DataFrame(
        {
            "month": pd.period_range("2024-01", periods=2, freq="M"),
            "range": pd.interval_range(0.5, periods=2),
        }
    )
    frame.to_parquet(path)
    # A process in which pandas has told Arrow nothing yet; without TensorFlow.
    code = f"""
import sys, types
package = types.ModuleType("deepfm_tf")
package.__path__ = [{str(Path(deepfm_tf.__file__).parent)!r}]
sys.modules["deepfm_tf"] = package
from deepfm_tf.files.readers import read_blocks
from deepfm_tf.raw_values import to_texts
(block,) = read_blocks({str(path)!r}, ["month", "range"])
for name, column in zip(("month", "range"), block.read(["month", "range"])[0]):
    print(to_texts(column.combine_chunks(), name, {{}}).to_pylist())
"""

    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.stdout.splitlines() == [
        "['2024-01', '2024-02']",
        "['(0.5, 1.5]', '(1.5, 2.5]']",
    ], ran.stderr
