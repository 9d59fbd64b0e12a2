"""The README is the manual: what it shows, runs."""

import re
from pathlib import Path

import deepfm_tf
from pipelines import tabular
from pipelines.command_line import build_parser
from tests.conftest import make_log

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    columns = ["site", "ad", "price", "clicked"]
    make_log(400)[columns].to_csv("clicks.csv", index=False)
    make_log(200, 1)[columns].to_csv("test.csv", index=False)

    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})

    assert "'log_loss'" in capsys.readouterr().out
    assert (tmp_path / "saved_models/clicks/1/saved_model.pb").is_file()


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    targets = re.findall(r"^make (\w+)", "".join(blocks("bash")), re.MULTILINE)

    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{t}:", makefile, re.MULTILINE) for t in targets)


def test_the_command_is_understood():
    command = next(b for b in blocks("bash") if "tabular" in b)
    words = command.replace("\\\n", " ").split()

    options = build_parser(tabular.RECIPE).parse_args(words[3:])

    assert words[:3] == [".venv/bin/python", "-m", "pipelines.tabular"]
    assert options.label == "clicked"
    assert options.model == ("logistic_regression", "fm", "deepfm")


def test_every_model_and_field_is_described():
    names = [
        n for n in deepfm_tf.__all__ if n.endswith("Field") and n != "Field"
    ]

    for name in (*names, "DeepFM", "FM", "NFM", "WideAndDeep"):
        assert f"`{name}`" in README
