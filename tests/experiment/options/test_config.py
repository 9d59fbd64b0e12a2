"""Options in a file, and the file that every run writes."""

import json
import math
import os
import shlex
import sys
import types

import pytest
from hypothesis import given, settings as limits, strategies as st

import deepfm_tf
from deepfm_tf.experiment.command_line import CommandLine
from deepfm_tf.experiment.options.commands import COMMANDS
from deepfm_tf.experiment.options.config import (
    changed_options,
    toml,
    write_config,
)
from pipelines import ctr
from pipelines.recipes import RECIPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WORDS = ("--train", "a.csv", "--label", "y")
EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text, name="c.toml"):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    return ("--config", name)


def read(*words, command="train", **others):
    return CommandLine(command=COMMANDS[command], **others).settings(words)


def test_a_toml_file_gives_options_by_their_names():
    config = write(
        'train = ["a.csv", "b.csv"]\nlabel = "y"\ndropout = 0.25\n'
        "hidden-units = [64, 8]\nbatch_norm = true\nschema = 's.json'\n"
        'model = "fm"\nignore = ["a,b", "c"]\nclip_norm = 2\nrun = "here"\n'
        "missing = [-1, '?']\n"
    )

    settings = read(*config)

    assert settings.train == ["a.csv", "b.csv"]
    assert (settings.label, settings.schema_file) == ("y", "s.json")
    assert (settings.dropout, settings.clip_norm) == (0.25, 2.0)
    assert (settings.hidden_units, settings.model) == ((64, 8), ("fm",))
    assert settings.batch_norm is True
    # On the command line, a comma always ends a name.
    assert settings.ignore == ("a,b", "c")
    assert settings.missing == ["-1", "?"]
    assert settings.run == type(settings.run)("here")
    assert settings.epochs == 30  # as if there were no file


def test_a_json_file_is_read_alike():
    content = {"train": "a.csv", "label": "y", "epochs": 3, "clip_norm": None}
    config = write(json.dumps(content), "c.json")

    settings = read(*config)

    assert (settings.train, settings.epochs) == (["a.csv"], 3)
    assert settings.clip_norm is None


def test_what_is_typed_wins_over_the_file():
    config = write(
        'train = ["a.csv"]\nlabel = "y"\nepochs = 3\nreduce_lr = true\n'
        'on_error = "skip"\n'
    )

    settings = read(
        *config, "--epochs", "4", "--no-reduce-lr", "--train", "b.csv"
    )

    assert (settings.epochs, settings.reduce_lr) == (4, False)
    assert (settings.train, settings.on_error) == (["b.csv"], "skip")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("dropuot = 1", "there is no option dropuot. Did you mean dropout?"),
        ("resume = true", "there is no option resume."),
        ('dropout = "1"', "dropout must be a number. Received: '1'."),
        ("dropout = 1.5", "dropout must be a number from 0 to below 1, not"),
        ("dropout = nan", "dropout must be a number from 0 to below 1, not"),
        ("epochs = 2.5", "epochs must be a whole number of at least 1, not"),
        ("epochs = true", "epochs must be a number. Received: True."),
        ("batch_norm = 1", "batch_norm must be true or false. Received: 1."),
        ("monitor = 'acu'", "monitor must be one of log_loss, auc. Received"),
        ("label = ['y']", "label must be a text in quotes. Received: ['y']."),
        ("run = ''", "run must name a file or folder, not ''."),
        ("run = 7", "run must be a text in quotes. Received: 7."),
        ("hidden_units = '3,2'", "must be a list, of a number each. Received"),
        (
            "hidden_units = []",
            "must be widths separated by commas, such as 30,2",
        ),
        ("model = ['fmm']", "model 'fmm' is not a model. Allowed"),
        ("train = 3", "train must be a list, of a text in quotes each. Rec"),
        ("[train]\na = 1", "train must be a list, of a text in quotes each."),
        ("train = []", "train must be a list of at least one value"),
        ("epochs = ", "Invalid value"),
        ("seed = 1\nseed = 2", "Cannot overwrite a value"),
        ("l2-mode = 'table'\nl2_mode = 'batch'", "l2_mode comes twice."),
    ],
)
def test_a_mistake_names_the_file_and_the_key(text, error, capsys):
    with pytest.raises(SystemExit) as end:
        read(*WORDS, *write(text))

    lines = capsys.readouterr().err
    assert end.value.code == 2
    assert lines.startswith("error: --config c.toml: ") and error in lines
    assert lines.endswith("\nSee: deepfm-tf train --help\n")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("c.json", "[1]", "there must be an object of options"),
        ("c.json", '{"seed": 1, "seed": 2}', "seed comes twice."),
        ("c.json", "{", "Expecting property name"),
        ("c.yaml", "seed: 1", "the name must end in .toml or .json."),
    ],
)
def test_a_file_that_is_none_of_these_is_refused(name, text, error, capsys):
    with pytest.raises(SystemExit):
        read(*WORDS, *write(text, name))

    assert error in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(capsys):
    with pytest.raises(SystemExit):
        read("--config", "no.toml")

    assert "--config no.toml: No such file or directory." in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", [*WORDS, "--dropout", "0.5", "--model", "fm,nfm"]),
        (
            "train",
            [*WORDS, "--no-header", "--columns", "y,b", "--separator", "\\t"]
            + ["--missing=-", "--batch-norm", "--embedding-l2", "1e-5"]
            + ["--calibration", "platt", "--report", "r.html", "--replicas=2"],
        ),
        ("compare", [*WORDS, "--seeds", "3", "--curve-every", "7"]),
        ("sweep", [*WORDS, "--dropouts", "0,0.5", "--shapes", "diamond"]),
        ("prepare", [*WORDS, "--split-by-time", "at", "--seed", "4"]),
    ],
)
def test_the_file_of_a_run_asks_for_the_same(command, words):
    first = read(*words, command=command)
    first.run.mkdir(parents=True)

    write_config(first)
    again = read("--config", str(first.run / "run.toml"), command=command)

    for name, declared in first.options.items():
        if declared.is_kept:
            value, expected = getattr(again, name), getattr(first, name)
            if isinstance(expected, list):
                value = list(value)
            assert value == expected, name
    if command != "prepare":
        fields = (deepfm_tf.NumericField("a"),)
        part = types.SimpleNamespace(
            schema=deepfm_tf.Schema(fields, "y"),
            num_rows=9,
            num_positives=4,
            fingerprint="f",
        )
        digests = [
            s.results_fingerprint({"train": part}) for s in (first, again)
        ]
        assert digests[0] == digests[1]


def test_the_file_of_a_run_explains_each_option():
    settings = read(*WORDS)
    settings.run.mkdir(parents=True)

    write_config(settings)

    text = (settings.run / "run.toml").read_text(encoding="utf-8")
    words = shlex.split(text.splitlines()[0])
    assert words[2:] == ["train", "--config", "runs/train/run.toml"]
    assert (
        "\n# maximum number of passes through the training data (default: "
        "30)\nepochs = 30\n" in text
    )
    # What is not given has its place.
    assert "\n# clip_norm =\n" in text
    # Another command that reads the file keeps out of this one's folder.
    assert '\n# run = "runs/train"\n' in text
    # No command of its own, and what cannot be asked for of own files.
    assert "resume" not in tomllib.loads(text) and "min_count" not in text


def test_a_recipe_stands_in_the_file_and_decides_the_options(capsys):
    first = read(
        *("--recipe", "ctr", "--train", "a.csv", "--min-count", "5"),
        command="compare",
        recipes=RECIPES,
    )
    first.run.mkdir(parents=True)
    write_config(first)
    config = ("--config", str(first.run / "run.toml"))

    again = read(*config, command="compare", recipes=RECIPES)

    assert again.recipe is ctr.RECIPE
    assert (again.min_count, again.preset) == (5, "seed")
    with pytest.raises(SystemExit):
        read(*config, "--recipe", "tabular", command="compare", recipes=RECIPES)
    assert "there is no option min_count" in capsys.readouterr().err


def test_a_name_that_is_no_text_does_not_spoil_the_file():
    settings = read("--train", os.fsdecode(b"a\xff.csv"), "--label", "y")
    settings.run.mkdir(parents=True)

    write_config(settings)

    text = (settings.run / "run.toml").read_text(encoding="utf-8")
    assert "# train cannot be written here: it is not UTF-8\n" in text
    assert tomllib.loads(text)["label"] == "y"


def test_what_decides_a_training_is_compared_with_the_file_of_a_run():
    first = read(
        *WORDS, "--clip-norm", "5", "--hidden-units", "8,4", "--batch-norm"
    )
    first.run.mkdir(parents=True)
    write_config(first)
    options = ["--hidden-units", "16", "--epochs", "30", "--no-batch-norm"]

    # What decides no training, and what has its default.
    assert not changed_options(
        read(
            *WORDS,
            "--clip-norm=5",
            "--hidden-units=8,4",
            "--slice-by=y",
            "--batch-norm",
        )
    )
    assert changed_options(read(*WORDS, *options)) == [
        "--hidden-units 16 (was 8,4)",
        "--no-batch-norm (was given)",
        "no --clip-norm (was 5)",
    ]
    # As by an older version.
    assert not changed_options(read(*WORDS, *options, "--run", "elsewhere"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.booleans() | NUMBERS | TEXTS


@limits(max_examples=100 * EXAMPLES, deadline=None)
@given(st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3)))
def test_what_is_written_is_read_back(content):
    lines = [f"{toml(key)} = {toml(value)}" for key, value in content.items()]

    again = tomllib.loads("\n".join(lines))

    assert again == content
    assert [type(v) for v in again.values()] == [
        type(value) for value in content.values()
    ]


def test_a_number_that_is_none_is_written_too():
    assert math.isnan(tomllib.loads(f"a = {toml(math.nan)}")["a"])
