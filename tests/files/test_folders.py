"""Folders of files, and what their names say."""

import pickle

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest

import deepfm_tf
from deepfm_tf.files.folders import (
    FoundFile,
    is_hidden,
    partition_of,
    pattern_of,
)
from deepfm_tf.files.paths import absolute, expanded
from deepfm_tf.files.readers import column_names, read_blocks


def test_folders_as_hive_writes_them_are_columns():
    below = "day=2024-05-01/site=a%2Fb/x=__HIVE_DEFAULT_PARTITION__/y=1.csv"

    assert partition_of(FoundFile(f"s3://b/a=1/{below}", below)) == {
        "day": "2024-05-01",
        "site": "a/b",
        "x": None,
    }
    assert partition_of(FoundFile("data/2=3/day.csv", "2=3/day.csv")) == {}


def test_folders_above_the_one_that_is_named_are_no_columns(tmp_path):
    """As of `pyarrow.dataset.dataset(path, partitioning="hive")`."""
    write_days(tmp_path / "host=a" / "log", "parquet")
    log = tmp_path / "host=a" / "log"

    for named in (log, f"{log}/*/*.parquet", f"{log}/day=*", log.as_uri()):
        assert column_names(named) == ["site", "click", "day"]
    day = log / "day=2024-05-01"
    for named in (day, day / "part-0.parquet", f"{day}/*.parquet"):
        assert column_names(named) == ["site", "click"]
    found = pyarrow.dataset.dataset(log, partitioning="hive").schema.names
    assert found == ["site", "click", "day"]


def test_a_file_stays_the_same_in_another_process(tmp_path):
    write_days(tmp_path, "csv")
    first, _ = expanded([tmp_path])

    there = pickle.loads(pickle.dumps(absolute(first)))

    assert expanded([there]) == [str(first)]
    assert partition_of(there) == {"day": "2024-05-01"}


def test_the_same_rows_in_another_folder_are_prepared_again(tmp_path):
    write_days(tmp_path / "log", "csv")
    schema = deepfm_tf.Schema(
        (deepfm_tf.CategoricalField("day", min_count=1),), "click"
    )
    deepfm_tf.prepare(tmp_path / "log", tmp_path / "out", schema=schema)
    (tmp_path / "log/day=2024-05-02").rename(tmp_path / "log/day=2024-05-07")

    data = deepfm_tf.prepare(tmp_path / "log", tmp_path / "out", schema=schema)

    days = ["2024-05-07", "2024-05-01"]
    assert data.vocabulary.values["day"].tolist() == days


@pytest.mark.parametrize(
    ("categorical", "names"), [([], ["time"]), (["day"], ["time", "day"])]
)
def test_the_day_of_a_folder_is_no_input_beside_a_time(
    categorical, names, tmp_path
):
    for day in ("2024-05-01", "2024-05-02"):
        folder = tmp_path / f"day={day}"
        folder.mkdir()
        rows = [f"{day} 0{hour}:00:00,{hour % 2}" for hour in range(9)]
        (folder / "a.csv").write_text("\n".join(["time,click", *rows, ""]))

    schema = deepfm_tf.infer_schema(tmp_path, "click", categorical=categorical)

    assert [field.name for field in schema.fields] == names


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("_SUCCESS", True),
        ("/_temporary/0/part.csv", True),
        ("day=1/.part.csv.crc", True),
        ("day=1/part_0.csv", False),
    ],
)
def test_what_engines_write_beside_the_rows_is_left_out(path, expected):
    assert is_hidden(path) == expected


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("b/*.csv", ["b/a.csv", "b/a.csv/0"], ["b/d/a.csv", "b/acsv"]),
        ("b/**/x.csv", ["b/x.csv", "b/1/2/x.csv"], ["c/x.csv"]),
        ("b/d=[12]", ["b/d=1/x.csv"], ["b/d=3/x.csv", "b/d=12/x.csv"]),
        ("b/[!a]*", ["b/b"], ["b/a"]),
        ("b/**", ["b/x", "b/1/x"], ["a/x"]),
    ],
)
def test_signs_stand_for_names_and_folders(pattern, yes, no):
    found, root = pattern_of(pattern)

    assert root == "b"
    assert all(found.fullmatch(name) for name in yes)
    assert not any(found.fullmatch(name) for name in no)


def write_days(folder, suffix):
    for day, sites in (("2024-05-01", "ab"), ("2024-05-02", "cdd")):
        target = folder / f"day={day}"
        target.mkdir(parents=True)
        (target / "_SUCCESS").write_text("")
        frame = pd.DataFrame({"site": list(sites), "click": 0})
        frame.loc[0, "click"] = 1
        if suffix == "parquet":
            frame.to_parquet(target / "part-0.parquet")
        elif suffix == "csv":
            frame.to_csv(target / "part-0.csv", index=False)
        else:
            frame.to_json(target / "part-0.jsonl", orient="records", lines=True)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_folder_is_all_its_files_with_the_columns_of_its_name(
    suffix, tmp_path
):
    write_days(tmp_path / "log", suffix)
    fields = [deepfm_tf.CategoricalField(n, min_count=1) for n in ("day",)]
    schema = deepfm_tf.Schema(tuple(fields), "click")

    vocabulary = deepfm_tf.fit_vocabulary(tmp_path / "log", schema)

    assert column_names(tmp_path / "log") == ["site", "click", "day"]
    # By descending count.
    assert vocabulary.values["day"].tolist() == ["2024-05-02", "2024-05-01"]
    blocks = list(read_blocks(tmp_path / "log", ["day"]))
    tables = [block.read(["day"])[0] for block in blocks]
    assert [table.num_rows for table in tables] == [2, 3]
    assert tables[1]["day"].to_pylist() == ["2024-05-02"] * 3


def test_a_split_by_time_may_be_one_by_folders(tmp_path):
    write_days(tmp_path / "log", "csv")

    _, last = deepfm_tf.split_by_time(tmp_path / "log", "day", (0.5,))

    assert np.datetime64(last.start, "us") == np.datetime64("2024-05-02")


def test_a_column_of_objects_below_folders_costs_no_rows(tmp_path):
    folder = tmp_path / "day=1"
    folder.mkdir()
    rows = [{"a": i % 3, "more": {"x": 1}, "click": i % 2} for i in range(9)]
    pd.DataFrame(rows).to_json(folder / "a.jsonl", orient="records", lines=True)

    schema = deepfm_tf.infer_schema(tmp_path, "click", ignore=["more"])

    assert [field.name for field in schema.fields] == ["a"]


def test_a_column_in_the_file_stands_before_that_of_its_folder(tmp_path):
    folder = tmp_path / "day=1"
    folder.mkdir()
    pd.DataFrame({"day": [7], "click": [1]}).to_csv(folder / "a.csv")

    (block,) = read_blocks(tmp_path, ["day", "click"])

    table, _ = block.read(["day", "click"])
    assert table["day"].to_pylist() == [b"7"]


def test_a_bad_row_below_folders_is_told_by_its_place(tmp_path):
    folder = tmp_path / "day=1"
    folder.mkdir()
    (folder / "a.csv").write_text("click\n1\n0\nmaybe\n")
    field = deepfm_tf.CategoricalField("day")

    with pytest.raises(ValueError, match="a.csv, line 4, column 'click'"):
        deepfm_tf.fit_vocabulary(tmp_path, deepfm_tf.Schema((field,), "click"))
