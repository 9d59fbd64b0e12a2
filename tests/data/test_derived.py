"""Rows with columns of one's own: all of them, or told which are not."""

import gzip

import pandas as pd
import pytest

from deepfm_tf.data import UnreadableRows, write_derived

LINES = ["hour,site", "07,a", "8x,b", "", "23,", "23", "9y,c"]


def derive(rows):
    is_bad = ~rows["hour"].str.isdigit()
    if is_bad.any():
        raise UnreadableRows(rows["hour"][is_bad], "must be digits")
    return rows.assign(night=(rows["hour"].astype(int) > 20).astype(str))


def read(directory):
    parts = sorted(directory.glob("*.parquet"))
    return pd.concat(map(pd.read_parquet, parts)).to_dict("list")


@pytest.mark.parametrize("kind", ["csv", "gz", "parquet"])
def test_rows_of_any_file_are_derived_as_text(tmp_path, kind):
    text = "hour,site\n07,a\n23,\n"
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        frame = pd.DataFrame({"hour": ["07", "23"], "site": ["a", None]})
        frame.to_parquet(path)
    else:
        data = text.encode()
        path.write_bytes(gzip.compress(data) if kind == "gz" else data)
    (tmp_path / "derived").mkdir()

    write_derived(path, tmp_path / "derived", derive)

    assert read(tmp_path / "derived") == {
        "hour": ["07", "23"],
        "site": ["a", ""],
        "night": ["False", "True"],
    }


@pytest.mark.parametrize("block_bytes", [8, 1000])
def test_bad_rows_are_refused_or_left_out_and_written(
    tmp_path, monkeypatch, block_bytes
):
    monkeypatch.setattr("deepfm_tf.files.text.BLOCK_BYTES", block_bytes)
    path = tmp_path / "log.csv"
    path.write_text("\n".join(LINES) + "\n")
    (tmp_path / "derived").mkdir()

    with pytest.raises(
        ValueError,
        match="log.csv, line 3, column 'hour': it must be digits, but is "
        "'8x'. Fix the row, or pass on_error=\"skip\"",
    ):
        write_derived(path, tmp_path / "derived", derive)
    write_derived(path, tmp_path / "derived", derive, on_error="skip")

    assert read(tmp_path / "derived") == {
        "hour": ["07", "23"],
        "site": ["a", ""],
        "night": ["False", "True"],
    }
    rejected = pd.read_csv(tmp_path / "derived" / "rejected.csv")
    assert rejected["line"].tolist() == [3, 6, 7]
    assert rejected["text"].tolist() == ["8x,b", "23", "9y,c"]
