"""Rows are written as they are read, and whole files or none."""

import contextlib
import os
import resource
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from deepfm_tf.files import readers
from deepfm_tf.files.formats import format_of
from deepfm_tf.files.readers import read_rows
from deepfm_tf.files.writers import row_writer


def rows_of(path):
    return pa.concat_tables(read_rows(path)).to_pylist()


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet"])
def test_values_without_a_text_are_written_as_they_are_shown(tmp_path, name):
    # A float that may stand for several integers, beside text.
    (tmp_path / "r.jsonl").write_text(
        '{"a": 1e30, "b": ["x", 1e30]}\n{"a": "x", "b": null}\n'
    )

    with row_writer(tmp_path / name, format_of(name)) as write:
        for table in read_rows(tmp_path / "r.jsonl"):
            write(table)

    assert rows_of(tmp_path / name) == [
        {"a": "1e+30", "b": ["x", "1e+30"]},
        {"a": "x", "b": None},
    ]


def test_files_are_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_ROWS", 100)
    table = pa.table({"n": [f"{n:06d}" for n in range(1000)]})
    pa.parquet.write_table(table, tmp_path / "r.parquet")
    for name in ("r.csv", "r.jsonl"):
        with row_writer(tmp_path / name, format_of(name)) as write:
            write(table)

    for name in ("r.parquet", "r.csv", "r.jsonl"):
        blocks = list(read_rows(tmp_path / name, block_bytes=1000))
        assert len(blocks) >= 7, name
        assert pa.concat_tables(blocks).to_pylist() == table.to_pylist()


def test_a_file_needs_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        with row_writer(tmp_path / "nope" / "out.csv", "csv"):
            pass


def test_numbers_are_written_as_short_as_they_are(tmp_path):
    table = pa.table({"id": ["007"], "p": np.array([0.1], np.float32)})

    with row_writer(tmp_path / "out.csv", "csv") as write:
        write(table)
    with row_writer(tmp_path / "out.jsonl", "jsonl") as write:
        write(pa.table({"p": [0.5, float("nan")], "t": ["\N{SNOWMAN}", None]}))

    assert (tmp_path / "out.csv").read_text() == "id,p\n007,0.1\n"
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == (
        '{"p": 0.5, "t": "\N{SNOWMAN}"}\n{"p": null, "t": null}\n'
    )


def test_values_are_written_as_training_reads_them(tmp_path):
    moments = np.array(["2024-02-01", "2024-02-01T10:30"], "M8[ns]")
    table = pa.table(
        {
            "id": pa.array([12345678901.0, None]),  # as pandas stores a gap
            "large": [2.0**60, 0.25],
            "at": moments,
            "tags": [["a", "b"], []],
            "more": [{"x": 1}, None],
        }
    )

    with row_writer(tmp_path / "out.csv", "csv") as write:
        write(table)
    with row_writer(tmp_path / "out.jsonl", "jsonl") as write:
        write(pa.table({"at": moments, "name": [b"x", None]}))

    assert (tmp_path / "out.csv").read_text() == (
        "id,large,at,tags,more\n"
        "12345678901,1.152921504606847e+18,2024-02-01,a|b,{'x': 1}\n"
        ",0.25,2024-02-01 10:30:00,,\n"
    )
    assert (tmp_path / "out.jsonl").read_text() == (
        '{"at": "2024-02-01", "name": "x"}\n'
        '{"at": "2024-02-01 10:30:00", "name": null}\n'
    )


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_columns_that_only_later_rows_have_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="later rows with late.*jsonl"):
        with row_writer(tmp_path / name, format_of(name)) as write:
            write(pa.table({"a": [1], "p": [0.5]}))
            write(pa.table({"a": [1], "late": ["x"], "p": [0.5]}))

    assert os.listdir(tmp_path) == []


def test_parquet_wants_one_type_a_column(tmp_path):
    with pytest.raises(ValueError, match="one type for Parquet.*Write CSV"):
        with row_writer(tmp_path / "out.parquet", "parquet") as write:
            write(pa.table({"a": pa.nulls(1)}))
            write(pa.table({"a": ["x"]}))


def test_a_file_that_fails_half_way_does_not_appear(tmp_path):
    old = tmp_path / "out.parquet"
    old.write_text("old")

    with pytest.raises(RuntimeError, match="half way"):
        with row_writer(old, "parquet") as write:
            write(pa.table({"a": [1]}))
            raise RuntimeError("half way")

    assert os.listdir(tmp_path) == ["out.parquet"]
    assert old.read_text() == "old"


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
@pytest.mark.parametrize("num_rows", [1, 50_000])
def test_what_cannot_be_written_is_named(tmp_path, name, num_rows):
    rows = np.random.default_rng(0).random(num_rows)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk does: at once for many rows, else when it is closed.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
    try:
        with pytest.raises(OSError, match=f"{name} cannot be written: .*large"):
            with row_writer(tmp_path / name, format_of(name)) as write:
                write(pa.table({"p": rows}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)

    assert os.listdir(tmp_path) == []


def test_standard_output_that_is_full_is_named(monkeypatch):
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)

        with pytest.raises(OSError, match="Standard output cannot be written"):
            with row_writer(None, "csv") as write:
                write(pa.table({"p": [0.5]}))
