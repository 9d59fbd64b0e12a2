"""What the commands that train many models share."""

import shlex

import pytest

from deepfm_tf.experiment.command_line import CommandLine
from deepfm_tf.experiment.fitting.training import UserError
from deepfm_tf.experiment.options.commands import COMMANDS
from deepfm_tf.experiment.options.recipe import OWN_FILES
from deepfm_tf.experiment.studies.kept_runs import (
    claim_folder,
    next_command,
    time_left,
)
from deepfm_tf.shell import command_line
from pipelines import ctr


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


def settings_of(words, recipe=OWN_FILES):
    line = CommandLine(recipe, COMMANDS["compare"])
    return line.settings(words.split())


def test_the_next_command_keeps_what_one_model_needs():
    settings = settings_of(
        "--train a.csv b.csv --curve-every 3 --epochs 2 --run here "
        "--preset seed --min-count 2 --slice-by field_1 --seeds 2",
        ctr.RECIPE,
    )

    command = next_command(settings, "fm", dropout=0.5)

    # seed is what the recipe has anyway, and 2 what it has not.
    assert command == (
        f"{command_line('python')} -m pipelines.ctr --train a.csv b.csv "
        "--min-count 2 --prepared here/prepared --export saved_models/ctr "
        "--model fm --dropout 0.5 --epochs 2"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("logs/clicks.csv", "clicks"),
        ("clicks.tsv.gz", "clicks"),
        ("my_clicks.parquet", "my_clicks"),
        ("logs/day-*.csv", "day"),
        ("*.csv", "model"),
    ],
)
def test_an_export_is_named_after_its_data(file, name):
    settings = settings_of(f"--train {file} --label y")

    words = shlex.split(next_command(settings, "fm"))

    assert words[words.index("--export") + 1] == f"saved_models/{name}"


def test_words_that_begin_like_an_option_are_typed_so_that_they_are_none():
    settings = settings_of("--train a.csv --label=-y --missing=- --missing ?")

    words = shlex.split(next_command(settings, "fm"))[2:]

    again = CommandLine().settings(words)
    assert (again.label, again.missing) == ("-y", ["-", "?"])
