"""Which columns a file begins with, as far as that is told at once."""

import gzip

import pyarrow as pa
import pyarrow.parquet
import pytest

from deepfm_tf.errors import UserError
from deepfm_tf.files.header import check_columns, check_plain_headers
from deepfm_tf.files.text_format import TextFormat


def check(path, data, column, **layout):
    path.write_bytes(data)
    check_plain_headers([str(path)], [column], TextFormat(**layout))


@pytest.mark.parametrize(
    ("name", "data", "layout"),
    [
        ("a.csv", b"site,hour\nx,1\n", {}),
        ("a.csv", b"\xef\xbb\xbfsite,hour\r\nx,1\r\n", {}),
        ("a.tsv", b"site\thour\nx\t1\n", {}),
        ("a.csv", b"site; hour\nx; 1\n", {"separator": "; "}),
        ("a.csv", b"x,1\n", {"column_names": ("site", "hour")}),
        ("a.gz", gzip.compress(b"site,hour\nx,1\n", mtime=0), {}),
    ],
)
def test_a_column_that_is_not_there_is_told(tmp_path, name, data, layout):
    check(tmp_path / name, data, "hour", **layout)
    with pytest.raises(UserError, match="no column 'hourr'. Did you mean 'h"):
        check(tmp_path / name, data, "hourr", **layout)


def test_a_column_that_is_used_itself_is_no_guess():
    with pytest.raises(UserError) as caught:
        check_columns(["hour", "hours", "site"], ["hour", "site", "x"], "a.csv")

    assert str(caught.value) == (
        "a.csv has no column 'hours'. Unused columns of it: 'x'. Its columns "
        "are: 'hour', 'site', 'x'."
    )


def test_a_folder_that_is_called_like_the_column_is_told():
    with pytest.raises(
        UserError, match="'day=...'. To use that as a column, na"
    ):
        check_columns(["day"], ["hour", "x"], "logs/day=7/part-0.parquet")


def test_all_columns_that_are_gone_are_told():
    with pytest.raises(UserError, match="no column 'b'. It also lacks 'c'"):
        check_columns(["a", "b", "c"], ["a"], "x.csv")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        # A line break may be inside a name.
        ("a.csv", b'"site","ho\nur"\nx,1\n'),
        # Lines end in "\r" alone.
        ("a.csv", b"site\rx\r"),
        # Or with the file; and what is read later is told better.
        ("a.csv", b"site"),
        ("a.csv", b""),
        ("a.csv", b"\nsite\n"),
        ("a.csv", b"s\0i\0t\0e\0\n\0"),
        ("a.jsonl", b'{"site": 1}\n'),
    ],
)
def test_nothing_is_said_of_what_is_not_plain(tmp_path, name, data):
    check(tmp_path / name, data, "absent")


def test_nothing_is_said_of_parquet(tmp_path):
    pyarrow.parquet.write_table(pa.table({"a": [1]}), tmp_path / "rows")

    check_plain_headers([str(tmp_path / "rows")], ["absent"], TextFormat())


def test_a_first_line_of_data_is_told():
    with pytest.raises(UserError, match=r"If its first line is data, name .*"):
        check_columns(["income"], ["39", " Male"], "a.csv", TextFormat())
    with pytest.raises(UserError, match=r"no column 'income'. Its columns"):
        check_columns(["income"], ["c39", "sex"], "a.csv", TextFormat())
