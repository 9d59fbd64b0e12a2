"""Rows are read as they are written, in blocks, and written whole or not."""

import contextlib
import gzip
import json
import os
import resource
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.serving.client import row_files
from deepfm_tf.serving.client.row_files import (
    num_rows,
    read_rows,
    row_writer,
)
from deepfm_tf.serving.client.row_formats import format_of


def zipped(data, level=9):
    """The same bytes at any time: they are in the names of tests."""
    return gzip.compress(data, level, mtime=0)


TEXT = 'id,price,note\n007,1.50,"a, ""b""\nc"\n2020-01-01,,\n'
ROWS = [
    {"id": "007", "price": "1.50", "note": 'a, "b"\nc'},
    {"id": "2020-01-01", "price": "", "note": ""},
]


def rows_of(path):
    return pa.concat_tables(read_rows(path)).to_pylist()


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.csv.gz"])
def test_text_stays_text(tmp_path, name):
    path = tmp_path / name
    text = TEXT.replace(",", "\t") if "tsv" in name else TEXT
    rows = [
        {k: v.replace(",", "\t") if "tsv" in name else v for k, v in r.items()}
        for r in ROWS
    ]
    data = ("\ufeff" + text).encode()
    path.write_bytes(zipped(data) if name.endswith(".gz") else data)

    assert rows_of(path) == rows


def test_typed_files_keep_their_types(tmp_path):
    rows = [{"id": "007", "n": 7, "x": 0.5}, {"id": None, "n": None, "x": 1.0}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "r.jsonl").write_text("\n\n".join(lines))

    assert rows_of(tmp_path / "r.parquet") == rows
    assert rows_of(tmp_path / "r.jsonl") == rows
    assert num_rows(tmp_path / "r.parquet") == 2
    assert num_rows(tmp_path / "r.jsonl") is None


def test_json_of_mixed_types_and_absent_keys(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"a": 7}\n{"a": "x", "b": 1}\n')

    assert rows_of(tmp_path / "r.jsonl") == [
        {"a": "7", "b": None},
        {"a": "x", "b": 1},
    ]


def test_json_with_a_byte_order_mark_and_long_numbers(tmp_path):
    text = '\ufeff{"id": 123456789012345678901234567890}\n'
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8")

    assert rows_of(tmp_path / "r.jsonl") == [
        {"id": "123456789012345678901234567890"}
    ]


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
    monkeypatch.setattr(row_files, "BLOCK_ROWS", 100)
    monkeypatch.setattr(row_files, "BLOCK_BYTES", 1000)
    table = pa.table({"n": [f"{n:06d}" for n in range(1000)]})
    pa.parquet.write_table(table, tmp_path / "r.parquet")
    for name in ("r.csv", "r.jsonl"):
        with row_writer(tmp_path / name, format_of(name)) as write:
            write(table)

    for name in ("r.parquet", "r.csv", "r.jsonl"):
        blocks = list(read_rows(tmp_path / name))
        assert len(blocks) >= 7, name
        assert pa.concat_tables(blocks).to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "", "is empty. Write a line of column names"),
        ("r.csv", "\n", "must begin with a line of column names"),
        ("r.csv", "a,b\n1,2\n3\n", "line 3: 2 values expected, 1 found"),
        ("r.csv", b"a\nx\n\xff\n", "line 3, column 'a': the text is not UTF"),
        ("r.parquet", "no", "not a whole Parquet file"),
        ("r.jsonl", '{"a": 1}\n{"a"', "line 2: .*must be a JSON object"),
        ("r.jsonl", "[1]", r"line 1: each line must be .*Received: \[1\]"),
        ("r.jsonl", b'{"a": "\xe9"}', "line 1: the text is not UTF-8"),
        ("r.csv.gz", zipped(b"a\n1\n")[:-9], "cannot be unpacked to its end"),
        ("r.jsonl.gz", "no", "r.jsonl.gz, line 1: each line must be"),
        ("r.jsonl.gz", zipped(b'{"a": 1}')[:-9], "cannot be unpacked"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ValueError, match=message):
        list(read_rows(path))


def test_text_is_read_in_the_layout_that_training_is_told(tmp_path):
    layout = TextFormat("; ", column_names=("a", "b"), quoting=False)
    (tmp_path / "rows").write_text('1; "x\n2;y\n')

    (table,) = read_rows(tmp_path / "rows", layout)

    assert table.to_pydict() == {"a": ["1", "2"], "b": ['"x', "y"]}


def test_lists_and_objects_of_json_stay_what_they_are(tmp_path):
    rows = [
        {"tags": ["a", "b"], "more": {"x": 1}},
        {"tags": None, "more": None},
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))

    assert rows_of(tmp_path / "r.jsonl") == rows


def test_parquet_needs_no_suffix(tmp_path):
    pa.parquet.write_table(pa.table({"n": [1]}), tmp_path / "part-0")

    assert rows_of(tmp_path / "part-0") == [{"n": 1}]
    assert num_rows(tmp_path / "part-0") == 1


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
