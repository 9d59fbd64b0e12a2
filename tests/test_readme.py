"""The README is the manual: what it shows, runs."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.__main__ import main
from deepfm_tf.experiment.command_line import CommandLine
from deepfm_tf.serving import config_command as operator_files
from deepfm_tf.serving.client import predict_command
from deepfm_tf.serving.server.flags import parse_flags
from tests.conftest import make_log, make_schema
from tests.serving.any_server import running_server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(block):
    """The words of each command, as the shell splits them."""
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines]


def test_the_python_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    columns = ["site", "ad", "price", "clicked"]
    os.mkdir("runs")
    make_log(400)[columns].to_csv("clicks.csv", index=False)
    make_log(200, 1)[columns].to_csv("test.csv", index=False)
    names = {}

    for block in blocks("python"):
        exports, _, serves = block.partition("with PredictClient")
        exec(compile(exports, "README.md", "exec"), names)
        if serves:
            flags = [
                "--model_name=clicks",
                "--model_base_path=saved_models/clicks",
            ]
            assert f"deepfm-tf serve {' '.join(flags)}" in block
            with running_server("local", flags) as port:
                serves = serves.replace("localhost:8500", f"localhost:{port}")
                exec("with PredictClient" + serves, names)
                (explain,) = commands(
                    next(b for b in blocks("bash") if "explain " in b)
                )
                address = ["--address", f"localhost:{port}"]
                assert predict_command.main([*explain[2:], *address]) == 0

    out = capsys.readouterr().out
    assert "'log_loss'" in out
    for comment in re.findall(r"\.describe\(\)\)  # (.*)", README):
        assert comment in out
    assert (tmp_path / "saved_models/clicks/1/saved_model.pb").is_file()
    outputs = names["model"].predict(names["test"].dataset(200), verbose=0)
    np.testing.assert_allclose(
        names["probabilities"], outputs["probability"].ravel(), atol=1e-5
    )
    assert names["scores"].shape == (2,)
    terms = pd.read_csv("runs/explained.csv").filter(
        regex="^(bias|baseline|contributions_.*)$"
    )
    assert list(terms) == [
        *("baseline", "bias"),
        *(f"contributions_{name}" for name in ("site", "ad", "price")),
    ]
    np.testing.assert_allclose(
        1 / (1 + np.exp(-terms.sum(axis=1))), names["probabilities"], atol=1e-4
    )


def test_the_three_commands_serve(tmp_path, monkeypatch):
    _, serve, predict = commands(
        next(b for b in blocks("bash") if "make demo   # exports" in b)
    )
    monkeypatch.chdir(tmp_path)
    data = make_log(300)
    schema = deepfm_tf.Schema(make_schema().fields[-3:], "clicked")
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    deepfm_tf.export_saved_model(model, vocabulary, "saved_models/deepfm")
    os.makedirs("runs/synthetic/data")
    data.to_csv("runs/synthetic/data/test.tsv", index=False, sep="\t")

    assert serve[:2] == [".venv/bin/deepfm-tf", "serve"]
    assert predict[:2] == [".venv/bin/deepfm-tf", "predict"]
    assert parse_flags(serve[2:]).rest_api_port == 8501
    with running_server("local", serve[3:]) as port:
        address = ["--address", f"localhost:{port}"]
        assert predict_command.main([*predict[2:], *address]) == 0

    assert len(pd.read_csv("runs/scores.csv")["probability"]) == 300
    (config,) = commands(next(b for b in blocks("bash") if " config " in b))
    assert operator_files.main(config[2:]) == 0
    assert (tmp_path / "runs/serving/models.config").is_file()


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    targets = re.findall(r"^make (\w+)", "".join(blocks("bash")), re.MULTILINE)

    assert targets[:2] == ["demo", "test"]
    assert all(re.search(rf"^{t}:", makefile, re.MULTILINE) for t in targets)


def test_the_command_is_understood():
    command = next(b for b in blocks("bash") if "deepfm-tf train" in b)
    words = command.replace("\\\n", " ").split()

    options = CommandLine().parser().parse_args(words[2:])

    assert words[:2] == [".venv/bin/deepfm-tf", "train"]
    assert options.label == "clicked"
    assert options.model == ("logistic_regression", "fm", "deepfm")


def test_the_command_of_the_next_day_is_understood():
    text = next(b for b in blocks("bash") if "--continue-from" in b)
    (command,) = commands(text)

    options = CommandLine().parser({"label": "y"}).parse_args(command[2:])

    assert command[:2] == [".venv/bin/deepfm-tf", "train"]
    assert str(options.continue_from) == "runs/yesterday/deepfm"
    assert str(options.run) == "runs/day28"


@pytest.mark.parametrize("name", ["compare", "sweep", "prepare"])
def test_the_other_commands_that_read_data_are_understood(
    name, tmp_path, monkeypatch, capsys
):
    text = next(b for b in blocks("bash") if f"deepfm-tf {name} " in b)
    (command,) = commands(text)
    monkeypatch.chdir(tmp_path)

    # All that it lacks is the data.
    assert command[:2] == [".venv/bin/deepfm-tf", name]
    assert main(command[1:]) == 2
    assert "There is no file clicks.csv" in capsys.readouterr().err


def test_every_model_and_field_is_described():
    names = [
        n for n in deepfm_tf.__all__ if n.endswith("Field") and n != "Field"
    ]

    for name in (*names, "DeepFM", "FM", "NFM", "WideAndDeep"):
        assert f"`{name}`" in README
