"""The recipes from the command line, on small files."""

import json
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from deepfm_tf.experiment.command_line import CommandLine, main
from deepfm_tf.experiment.run import begin
from pipelines import avazu, census, criteo, ctr, synthetic, tabular


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_textbook_format_is_read(tmp_path, capsys):
    random = np.random.default_rng(0)
    rows = random.choice(["017", "23", "99999999999999999999"], (600, 34))
    frame = pd.DataFrame(rows)
    frame.insert(0, "label", random.integers(0, 2, 600))
    frame.to_csv("train.csv", sep="\t", header=False, index=False)

    assert main(ctr.RECIPE, ["--train", "train.csv"], begin) == 0
    out = capsys.readouterr().out
    assert "34 categorical fields" in out
    assert "170 rows in the shared table" in out
    defaults = CommandLine(ctr.RECIPE).settings(["--train", "x"])
    train = types.SimpleNamespace(
        schema=ctr.schema(4).with_vocabulary_sizes(
            dict.fromkeys(ctr.COLUMNS[1:], 5)
        ),
        num_rows=480,
        num_positives=240,
    )
    preset = defaults.preset_for("deepfm", train)
    assert (preset.embedding_dim, preset.hidden_units) == (10, (30, 20, 10))
    assert (preset.dropout, preset.learning_rate) == (0.1, 0.01)
    assert (preset.batch_size, defaults.epochs) == (2048, 30)
    assert defaults.min_count == 4


def test_criteos_format_is_read_with_gaps_and_negative_numbers(capsys):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {name: random.integers(-2, 500, 600) for name in criteo.NUMERIC}
    ).astype(object)
    for name in criteo.CATEGORICAL:
        frame[name] = random.choice(["68fd1e64", "80e26c9b", ""], 600)
    frame = frame.where(random.random(frame.shape) > 0.1, "")
    frame.insert(0, "label", random.integers(0, 2, 600))
    frame.to_csv("train.txt", sep="\t", header=False, index=False)

    assert main(criteo.RECIPE, ["--train", "train.txt"], begin) == 0
    assert "13 bucketized, 26 categorical" in capsys.readouterr().out


def test_avazus_hour_becomes_three_fields(capsys):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(600), "click": np.arange(600) % 2})
    frame["hour"] = random.choice(["14102100", "14102523"], 600)
    for name in avazu.CATEGORICAL:
        frame[name] = random.choice(["1f", "0"], 600)
    frame.to_csv("train.csv", index=False)

    derived = avazu.derive(pd.DataFrame({"hour": ["14102100", "14102523"]}))

    assert derived.to_dict("list") == {
        "hour_of_day": ["0", "23"],
        "weekday": ["1", "5"],  # a Tuesday, a Saturday
        "is_weekend": ["0", "1"],
    }
    with pytest.raises(ValueError, match="'hour' must be YYMMDDHH"):
        avazu.derive(pd.DataFrame({"hour": ["2014"]}))
    assert main(avazu.RECIPE, ["--train", "train.csv"], begin) == 0
    assert "24 categorical fields" in capsys.readouterr().out


def write_avazu(path, hours):
    names = ("id", "click", "hour", *avazu.CATEGORICAL)
    rows = [
        [str(n), str(n % 2), hour, *[f"v{n % 3}"] * len(avazu.CATEGORICAL)]
        for n, hour in enumerate(hours)
    ]
    lines = [",".join(row) for row in (names, *rows)]
    path.write_text("\n".join(lines) + "\n")


def test_rows_of_avazu_that_cannot_be_derived_are_told(capsys):
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
            line.split(":")[1]
            for line in captured.out.splitlines()
            if line.startswith(("train:", "valid:", "test:"))
        ]
        assert sum(int(part.split()[0]) for part in parts) == 300


@pytest.mark.parametrize("column", ["hour", "C14"])
def test_a_column_that_avazu_lacks_is_named(capsys, column):
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


def test_the_planted_probabilities_are_those_of_the_labels():
    rows, probability = synthetic.make_rows(40_000, seed=5)

    label = rows["clicked"].to_numpy()
    for low in np.arange(0, 0.8, 0.1):
        inside = (probability >= low) & (probability < low + 0.1)
        spread = np.sqrt(probability[inside].mean() / inside.sum())
        assert abs(label[inside].mean() - probability[inside].mean()) < (
            4 * spread
        )


# `experiment/test_run` trains and exports, `export/test_saved_model` runs the
# script that scores.
@pytest.mark.long
@pytest.mark.slow_process
@pytest.mark.filterwarnings("ignore:Field")
def test_the_demo_runs_to_its_end(capsys, monkeypatch):
    sizes = {"train": 1024, "valid": 500, "test": 500}
    monkeypatch.setattr(synthetic, "ROWS", sizes)
    # Its own three models are trained alike; one is enough to come to the end.
    assert synthetic.RECIPE.defaults["model"] == (
        *("logistic_regression", "fm", "deepfm"),
    )
    words = "--epochs 1 --batch-size 1024 --model deepfm --hidden-units 4"
    words += " --warm-up-rows 1"
    root = str(tabular.__file__).rsplit("/", 2)[0]
    monkeypatch.setenv("PYTHONPATH", root)

    status = main(
        synthetic.RECIPE, words.split(), run_with=synthetic.demonstrate
    )

    out = capsys.readouterr().out
    assert status == 0
    assert "Bayes optimum" in out
    assert "in a process that imports TensorFlow" in out
    assert "deepfm-tf train --train clicks.csv" in out.splitlines()[-1]


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:Field")
def test_census_is_learnt(real_data):
    folder = real_data / "census_kdd"
    # A part of the rows is enough to learn from.
    rows = pq.read_table(folder / "train.parquet").slice(0, 40_000)
    pq.write_table(rows, "train.parquet")

    status = main(
        census.RECIPE,
        ["--train", "train.parquet", "--epochs", "1", "--batch-size", "256"]
        + ["--test", str(folder / "test.parquet"), "--report", "r.json"]
        + ["--model", "logistic_regression", "--learning-rate", "0.01"],
    )

    assert status == 0
    with open("r.json") as file:
        report = json.load(file)
    assert report["data"]["test"]["rows"] == 39_905
    assert report["models"][0]["test"]["auc"] > 0.93
    assert "census" in report["command"]
