"""Files with a recipe's own columns follow all that they are made of."""

import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.inputs import derived_files
from deepfm_tf.experiment.run import begin
from pipelines import avazu


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


def write_avazu(path, hours):
    names = ("id", "click", "hour", *avazu.CATEGORICAL)
    rows = [
        [str(n), str(n % 2), hour, *[f"v{n % 3}"] * len(avazu.CATEGORICAL)]
        for n, hour in enumerate(hours)
    ]
    lines = [",".join(row) for row in (names, *rows)]
    path.write_text("\n".join(lines) + "\n")


def test_rows_of_avazu_that_cannot_be_derived_are_told(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_avazu(
        Path("train.csv"), ["14102100", "14102523"] * 150 + ["2014"] * 2
    )
    with open("train.csv", "a") as file:
        file.write("900,1,14102100,cut off\n")

    assert main(avazu.RECIPE, ["--train", "train.csv"], begin) == 2
    assert (
        "train.csv, line 302, column 'hour': it must be YYMMDDHH, but is "
        "'2014'. Fix the row, or pass --on-error skip"
    ) in capsys.readouterr().err
    for _ in range(2):  # derived already, they are told again
        options = ["--train", "train.csv", "--on-error", "skip"]
        assert main(avazu.RECIPE, options, begin) == 0
        captured = capsys.readouterr()
        assert "train.csv: 3 rows rejected (" in captured.out
        parts = [
            line.split(":")[1] for line in captured.out.splitlines()[-4:-1]
        ]
        assert sum(int(part.split()[0]) for part in parts) == 300


@pytest.mark.parametrize("column", ["hour", "C14"])
def test_a_column_that_avazu_lacks_is_named(
    tmp_path, monkeypatch, capsys, column
):
    monkeypatch.chdir(tmp_path)
    write_avazu(Path("train.csv"), ["14102100"] * 3)
    write_avazu(Path("test.csv"), ["14102100"] * 3)
    frame = pd.read_csv("test.csv", dtype=str).drop(columns=column)
    frame.to_csv("test.csv", index=False)
    options = ["--train", "train.csv", "--test", "test.csv"]

    assert main(avazu.RECIPE, options, begin) == 2

    captured = capsys.readouterr()
    assert f"test.csv has no column '{column}'" in captured.err
    assert not Path("runs").exists() or not list(
        Path("runs").rglob("*.parquet")
    )
