"""What recipes say of their input files, and derive of them."""

import importlib
import os
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.inputs import derived_files
from deepfm_tf.experiment.run import begin
from pipelines import tabular


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, seed=1, num_rows=600, **columns):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "site": random.choice(list("abcd"), num_rows),
            "price": random.gamma(2, 10, num_rows).round(3),
            "click": random.integers(0, 2, num_rows),
            **columns,
        }
    )
    if name.endswith(".parquet"):
        frame.to_parquet(name)
    else:
        frame.to_csv(name, index=False)
    return frame


def start(*options, label="click"):
    """The exit status of a run that ends before the training."""
    arguments = ["--train", "train.csv", "--label", label, *options]
    return main(tabular.RECIPE, arguments, begin)


@pytest.mark.parametrize("part", ["train", "valid", "test"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_lacks_a_column_is_named_at_once(part, kind, capsys):
    write("train.csv")
    write("more.csv", 2)
    write("even_more.csv", 3)
    frame = write("x.csv", 4).drop(columns="price")
    write_bad = {"csv": frame.to_csv, "parquet": frame.to_parquet}[kind]
    write_bad(f"bad.{kind}")

    status = start(f"--{part}", "more.csv", "even_more.csv", f"bad.{kind}")

    captured = capsys.readouterr()
    assert status == 2
    assert f"bad.{kind} has no column 'price'" in captured.err
    assert "rows" not in captured.out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--freeze-embeddings sit", "--freeze-embeddings: X 'sit'. Did you"),
        ("--slice-by site,prize", "--slice-by: X 'prize'. Did you mean 'pri"),
        ("--context-fields sight", "--context-fields: X 'sight'. Did you"),
        ("--embeddings sit=v.parquet", "--embeddings: X 'sit'. Did you mean"),
        (
            "--encodings count --encoded-fields sit",
            "--encoded-fields: X 'sit'. Did you mean 'site'?",
        ),
        ("--split-by-time hour", "--split-by-time: X 'hour'."),
        ("--ignore site,ad", "--ignore: X 'ad'."),
    ],
)
@pytest.mark.parametrize("with_schema", [False, True])
def test_a_name_that_there_is_not_is_told_with_its_option(
    options, error, with_schema, capsys
):
    write("train.csv")
    write("v.parquet")
    is_of_columns = options.split()[0] in ("--split-by-time", "--ignore")
    if with_schema:
        deepfm_tf.infer_schema("train.csv", "click").save("schema.json")
        options += " --schema schema.json"

    status = start(*options.split(), "--report", "r.html", "--export", "m")

    told = "train.csv has no column"
    if with_schema and not is_of_columns:
        told = "The schema has no field"
    elif with_schema and "--ignore" in options:
        error = "--ignore only affects an inferred schema."
    assert status == 2
    assert error.replace("X", told) in capsys.readouterr().err


def test_labels_in_words_are_told_with_flags_that_work(capsys):
    words = np.where(np.arange(600) % 3, "not bought", "bought it")
    write("train.csv", end=words)
    write("test.csv", 2, end=[f"{word}." for word in words])
    command = ["--test", "test.csv", "--ignore", "click"]

    status = start(*command, label="end")

    captured = capsys.readouterr()
    assert status == 2 and not captured.out
    assert "'bought it' (16.7%)" in captured.err
    flags = captured.err.split("say so: ")[1].split(". If not")[0]
    assert flags == (
        "--positive-label 'bought it' 'bought it.' "
        "--negative-label 'not bought' 'not bought.'"
    )
    assert start(*command, *shlex.split(flags), label="end") == 0
    assert "test: 600 rows, 33.3% positive" in capsys.readouterr().out


def test_a_schema_file_says_what_its_labels_are(capsys):
    write("train.csv")
    assert start() == 0
    schema = ["--schema", "runs/tabular/schema.json"]

    assert start(*schema, "--missing", "?") == 2
    error = capsys.readouterr().err
    assert "--missing only affects an inferred schema" in error
    write("train.csv", click=["lost", "won"] * 300)
    assert start(*schema) == 2

    assert (
        "say so: positive_labels ['won'] and negative_labels ['lost'] in "
        "runs/tabular/schema.json." in capsys.readouterr().err
    )


def test_the_table_of_the_columns_is_printed(capsys):
    write("train.csv", note="x", weekday=["mon", "tue", "sun"] * 200)

    assert start("--ignore", "weekday", "--on-error", "skip") == 0

    out = capsys.readouterr().out
    assert "  column   kind         reason\n" in out
    assert "  site     categorical  text of 4 different values\n" in out
    assert "  note     left out     it is always 'x'\n" in out
    assert "  weekday  left out     it is listed in `ignore`\n" in out


@pytest.mark.filterwarnings("always")
def test_one_file_for_both_parts_is_told(capsys):
    frame = write("train.csv")
    frame.to_csv("copy.csv", index=False)
    write("other.csv", 2)

    assert start("--test", "other.csv", "train.csv") == 0
    assert "--train and --test both name train.csv" in capsys.readouterr().err
    assert start("--valid", "copy.csv") == 0
    assert "train.csv and copy.csv are equal" in capsys.readouterr().err


@pytest.mark.filterwarnings("always")
def test_equal_rows_in_other_files_are_told(capsys):
    frame = write("train.csv")
    mixed = pd.concat([write("new.csv", 2), frame[:300]])
    mixed.sample(frac=1, random_state=1).to_parquet("mixed.parquet")

    assert start("--test", "mixed.parquet", "--valid", "new.csv") == 0

    # A third are copies, and 2 of the 600 others are equal by chance.
    error = capsys.readouterr().err
    assert "33.6% of the rows of --test are also in --train" in error
    assert "--valid" not in error


def test_times_split_the_rows_of_a_recipe(capsys):
    seconds = np.random.default_rng(1).permutation(600) * 3600
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s")
    write("train.csv", at=times)

    assert start() == 0
    assert "on random ones: --split-by-time at" in capsys.readouterr().out
    assert start("--split-by-time", "at") == 0

    out = capsys.readouterr().out
    # 480 and 540 hours after the first.
    assert "valid from 2024-01-21 00:00:00" in out
    assert "test from 2024-01-23 12:00:00 on" in out
    for part, rows in (("train", 480), ("valid", 60), ("test", 60)):
        assert f"\n{part}: {rows} rows" in out
    assert start("--split-by-time", "att") == 2
    assert "no column 'att'. Did you mean 'at'?" in capsys.readouterr().err
    both = ["--valid", "train.csv", "--test", "train.csv"]
    assert start("--split-by-time", "at", *both) == 2
    assert "Leave out one of the three" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:.* rows have no readable time")
def test_rows_without_a_time_are_rejected_by_a_recipe(capsys):
    hours = pd.to_timedelta(np.arange(600), unit="h")
    times = (pd.Timestamp("2024-01-01") + hours).astype(str).to_list()
    times[:6] = ["1900-01-01"] * 6  # marks, not the oldest of the rows
    write("train.csv", at=times)
    split = ["--split-by-time", "at", "--missing", "1900-01-01"]

    assert start(*split) == 2
    assert (
        "train.csv, line 2, column 'at': each row must have a time for the "
        "split, but this is missing. Fix the row, or pass --on-error skip"
    ) in capsys.readouterr().err
    assert start(*split, "--on-error", "skip") == 0

    captured = capsys.readouterr()
    assert "rows have no readable time in 'at'" in captured.err
    assert ", 6 rejected (" in captured.out
    # Of the 594 others, the 476th and the 536th: hours 481 and 541.
    assert "valid from 2024-01-21 01" in captured.out
    assert "test from 2024-01-23 13" in captured.out
    for part, rows in (("train", 475), ("valid", 60), ("test", 59)):
        assert f"\n{part}: {rows} rows" in captured.out


@pytest.fixture
def settings(tmp_path):
    return SimpleNamespace(
        run=Path(tmp_path, "run"),
        text_format=deepfm_tf.TextFormat(),
        on_error="raise",
    )


def write_file(path, text):
    """Write with the time of the last write set, as `cp -p` does."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    os.utime(temporary, (10**9, 10**9))
    temporary.replace(path)


def test_a_file_of_equal_size_and_time_is_derived_anew(tmp_path, settings):
    log = tmp_path / "log.csv"
    write_file(log, "site\na\n")
    derived_files(settings, lambda frame: frame, [str(log)])
    write_file(log, "site\nb\n")

    (part,) = derived_files(settings, lambda frame: frame, [str(log)])

    assert pd.read_parquet(part)["site"].tolist() == ["b"]


def test_a_changed_recipe_derives_anew(tmp_path, settings, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    log = tmp_path / "log.csv"
    write_file(log, "site\na\n")
    found = []

    for word in ("x", "x", "y"):
        # What the function itself says is the same.
        (tmp_path / "own_recipe.py").write_text(
            f"WORD = {word!r}\n"
            "def derive(rows):\n"
            "    return rows.assign(word=WORD)\n"
        )
        module = importlib.reload(importlib.import_module("own_recipe"))
        (part,) = derived_files(settings, module.derive, [str(log)])
        found.append((part, pd.read_parquet(part)["word"].tolist()))

    assert found[0] == found[1]
    assert [words for _, words in found] == [["x"], ["x"], ["y"]]
