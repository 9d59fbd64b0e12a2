"""What the commands that train many models share."""

import shlex
import types
from pathlib import Path

import pytest

from deepfm_tf.experiment.kept_runs import claim_folder, next_command, time_left
from deepfm_tf.experiment.training import UserError
from deepfm_tf.shell import command_line


def test_the_time_left_is_told_by_the_model():
    runs = [
        {"model": "fm", "wall_seconds": 100.0},
        {"model": "deepfm", "wall_seconds": 500.0},
    ]

    left = time_left(runs, ["fm", "deepfm", "nfm"])

    assert left == ", about 15 min left"  # 100 + 500 + their mean
    assert time_left([], ["fm"]) == ""
    assert time_left(runs[:1], ["fm"]) == ", about 2 min left"


def test_a_folder_belongs_to_one_command(tmp_path):
    claim_folder(tmp_path / "results", tmp_path, "one")
    claim_folder(tmp_path / "results", tmp_path, "one")

    with pytest.raises(UserError, match="holds runs on other data or with"):
        claim_folder(tmp_path / "results", tmp_path, "other")


def test_the_next_command_keeps_what_one_model_needs():
    settings = types.SimpleNamespace(
        recipe="census",
        training_words=("python", "-m", "pipelines.census"),
        arguments=(
            *("--recipe", "census", "--train", "a.csv", "b.csv"),
            *("--depths=1,2", "--epochs", "2", "--run", "here"),
        ),
        prepared=None,
        run=Path("here"),
    )

    command = next_command(settings, "fm", ["--depths"], ["--dropout", "0"])

    assert command == (
        f"{command_line('python')} -m pipelines.census --train a.csv b.csv "
        "--epochs 2 --model fm --dropout 0 --prepared here/prepared "
        "--export saved_models/census"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("logs/clicks.csv", "clicks"),
        ("clicks.tsv.gz", "clicks"),
        ("my clicks.parquet", "my_clicks"),
        ("logs/day-*.csv", "day"),
        ("*.csv", "model"),
    ],
)
def test_an_export_is_named_after_its_data(file, name):
    settings = types.SimpleNamespace(
        recipe="tabular",
        training_words=("deepfm-tf", "train"),
        arguments=("--train", file),
        train=[file],
        prepared=Path("my data"),
    )

    words = shlex.split(next_command(settings, "fm", [], []))

    assert words[-4:] == [
        *("--prepared", "my data", "--export", f"saved_models/{name}"),
    ]
