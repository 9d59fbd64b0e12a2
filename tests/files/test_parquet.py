"""Parquet files give the types that were written, or say what is wrong."""

import decimal
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import deepfm_tf
from deepfm_tf import CategoricalField, Schema
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.files.parquet import parquet_tables
from deepfm_tf.files.readers import read_rows
from deepfm_tf.raw_values import to_texts

SCHEMA = Schema((CategoricalField("a", min_count=1),), "y")


def texts_of(column):
    bad = {}
    texts = to_texts(to_arrow(column, "a"), "a", bad)
    assert not bad
    return texts.to_pylist()


def texts_of_file(path):
    table = pa.concat_tables(parquet_tables(str(path), 2))
    return texts_of(table.column("a"))


@pytest.mark.parametrize(
    ("zone", "texts"),
    [
        (
            "Europe/Berlin",
            ["2024-03-30 10:00:00+01:00", "2024-03-31 10:00:00+02:00"],
        ),
        ("UTC", ["2024-03-30 10:00:00+00:00", "2024-03-31 10:00:00+00:00"]),
    ],
)
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_a_category_of_moments_keeps_its_zone(tmp_path, zone, texts, unit):
    moments = pd.to_datetime(["2024-03-30 10:00", "2024-03-31 10:00"])
    values = pa.array(moments.tz_localize(zone), pa.timestamp(unit, tz=zone))
    codes = pa.array([0, 1], pa.int8())
    # As pandas writes a category, but with Arrow 17, which loses the zone.
    column = pa.DictionaryArray.from_arrays(codes, values)
    table = pa.table({"a": column, "b": [1, 2]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")

    assert texts_of_file(tmp_path / "a.parquet") == texts
    (rows,) = read_rows(tmp_path / "a.parquet")
    assert texts_of(rows.column("a")) == texts


def test_a_category_of_durations_is_refused_as_in_a_frame(tmp_path):
    lengths = pd.Series(pd.to_timedelta([1, 2], "h")).astype("category")
    frame = pd.DataFrame({"a": lengths, "y": [0, 1]})
    frame.to_parquet(tmp_path / "a.parquet")

    for source in (frame, tmp_path / "a.parquet"):
        with pytest.raises(TypeError, match="'a' must hold.*store seconds"):
            deepfm_tf.fit_vocabulary(source, SCHEMA)


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="Arrow without UUIDs")
def test_a_category_of_uuids_is_named(tmp_path):
    value = pd.Series([uuid.UUID(int=n) for n in range(3)])
    frame = pd.DataFrame({"a": value.astype("category"), "y": [0, 1, 0]})
    try:
        frame.to_parquet(tmp_path / "a.parquet")
        pa.parquet.ParquetFile(tmp_path / "a.parquet").close()
    except pa.ArrowException as error:
        if "Invalid storage type" not in str(error):
            pytest.skip(f"this Arrow cannot write them: {error}")
    else:
        pytest.skip("this Arrow reads them")

    message = r"column 'a': .*category of UUIDs.*Write the column as text"
    with pytest.raises(ValueError, match=message) as told:
        deepfm_tf.fit_vocabulary(tmp_path / "a.parquet", SCHEMA)
    assert "whole" not in str(told.value)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / "a.parquet"))


def test_a_damaged_page_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"a": [f"v{n}" for n in range(5000)]})
    frame.to_parquet(path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[40:2000] = b"\xff" * 1960
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"a.parquet is not a whole Parquet"):
        list(parquet_tables(str(path), 100))


def test_decimals_of_a_parquet_column_have_one_number_of_places(tmp_path):
    # As the README says of the exceptions.
    values = [decimal.Decimal(x) for x in ("1.00", "1.5", "1E+2")]
    frame = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    frame.to_parquet(tmp_path / "a.parquet")

    assert texts_of(frame["a"]) == ["1.00", "1.5", "1E+2"]
    assert texts_of_file(tmp_path / "a.parquet") == ["1.00", "1.50", "100.00"]


def test_an_arrow_table_is_a_source():
    frame = pd.DataFrame({"a": ["x", "y", None], "y": [0, 1, 0]})
    table = pa.Table.from_pandas(frame)

    vocabulary = deepfm_tf.fit_vocabulary(table, SCHEMA)
    schema = deepfm_tf.infer_schema(table, "y", categorical=["a"])
    ids = deepfm_tf.encode(table.slice(1), vocabulary)["ids"]

    assert vocabulary.values["a"].tolist() == ["x", "y"]
    assert [field.name for field in schema.fields] == ["a"]
    assert ids.tolist() == [[3], [1]]


def test_a_frame_of_another_library_is_told_how():
    class Frame:
        def to_pandas(self):
            return pd.DataFrame()

    with pytest.raises(TypeError, match=r"Frame.*Give its `\.to_pandas\(\)`"):
        deepfm_tf.fit_vocabulary(Frame(), SCHEMA)
