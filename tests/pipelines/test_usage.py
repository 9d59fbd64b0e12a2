"""What the recipes say to a mistyped or impossible command line."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
from pipelines import command_line, compare, sweep, tabular
from pipelines.learning import UserError, user_errors
from pipelines.usage import Parser, in_flags

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("main", "words", "error"),
    [
        (sweep.main, "--shape constant", "no option --shape. Did you mean --s"),
        (compare.main, "--sedes=3", "no option --sedes. Did you mean --seeds?"),
        (tabular.main, "--batch_size 8", "Did you mean --batch-size?"),
        # Told before what seems to be absent.
        (tabular.main, "--trian a.csv", "no option --trian. Did you mean --tr"),
        (tabular.main, "--zzz", "There is no option --zzz.\n"),
        (tabular.main, "--train a.csv", "are required: --label\n"),
        (tabular.main, "--train a.csv --label b c", "unrecognized argum"),
        (compare.main, "--recipe cencus", "invalid choice: 'cencus'"),
    ],
)
def test_a_wrong_command_line_is_answered_in_two_lines(
    main, words, error, capsys
):
    arguments = words.split()
    if main is tabular.main:
        arguments = [tabular.RECIPE, arguments]
    else:
        arguments = [arguments]

    with pytest.raises(SystemExit) as end:
        main(*arguments)

    lines = capsys.readouterr().err
    assert end.value.code == 2
    assert lines.startswith("error: ")
    assert error in lines
    assert len(lines.splitlines()) == 2
    assert lines.endswith(" --help\n")


def test_words_that_are_no_names_of_options_pass():
    parser = Parser(prog="x")
    parser.add_argument("--value", type=int)
    parser.add_argument("rest", nargs="*")

    options = parser.parse_args(["--value=-1", "--", "--other"])

    assert options == argparse.Namespace(value=-1, rest=["--other"])


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "site,clicked\na,maybe\nb,0\nc,1\n",
            [],
            [
                "Other labels can be named: --positive-label, --negative-label."
                " Mend the row, or pass --on-error skip to leave"
            ],
        ),
        ("site,clicked\na,1\nb,0\na\n", [], ["inside a value? Mend the row"]),
        (
            "site,clicked,w\na,1,1\nb,0,-1\n",
            ["--example-weight", "w"],
            ["must be 0 or more, but is '-1'. Mend"],
        ),
        (
            "site,clicked,w\na,1,1\nb,0,\n",
            ["--example-weight", "w"],
            ["must be 0 or more, but is missing. Mend"],
        ),
        ("site,clicked\n", [], ["Received: none in clicks.csv."]),
        ("\na,1\n", [], ["give the names yourself (--no-header --columns)"]),
        (
            "site,clicked\na,1\nb,0\n",
            ["--positive-label", "0", "--negative-label", "0"],
            ["--positive-label and --negative-label must both name"],
        ),
        (
            "site,clicked\na,1\nb,0\n",
            ["--positive-label", "0"],
            ["say so: --positive-label 0 --negative-label 1."],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:--train and --.* both name clicks.csv")
def test_errors_in_the_data_speak_of_options(
    text, options, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("clicks.csv").write_text(text)
    files = [f"--{name}=clicks.csv" for name in ("train", "valid", "test")]
    arguments = [*files, "--label", "clicked", *options]

    assert command_line.main(tabular.RECIPE, arguments) == 2

    error = capsys.readouterr().err
    assert error.startswith("error: ")
    for part in words:
        assert part in error


def test_received_values_are_those_of_the_option():
    message = "`num_replicas` must be positive. Received: num_replicas=0."

    assert in_flags(message) == (
        "--replicas must be positive. Received: --replicas 0."
    )


def test_only_errors_that_a_user_can_mend_become_one_sentence():
    with (
        pytest.raises(UserError, match="^--on-error is x$"),
        user_errors(),
    ):
        raise ValueError("`on_error` is x")
    with pytest.raises(KeyError), user_errors():
        raise KeyError("a bug")
    with pytest.raises(TypeError), user_errors((ValueError,)):
        raise TypeError("a bug")


@pytest.mark.slow_process
def test_ctrl_c_while_it_imports_is_one_line(tmp_path):
    # In the place of pandas, which the recipes import first.
    (tmp_path / "pandas.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )

    process = subprocess.run(
        [sys.executable, "-m", "pipelines.tabular"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert (process.returncode, process.stderr) == (130, "\nInterrupted\n")


def test_a_recipe_that_runs_gets_ctrl_c_itself(monkeypatch):
    handlers = []
    monkeypatch.setattr(signal, "getsignal", lambda _: pipelines.end_at_once)
    monkeypatch.setattr(signal, "signal", lambda *args: handlers.append(args))

    with pytest.raises(SystemExit):
        command_line.main(tabular.RECIPE, ["--help"])

    assert handlers == [(signal.SIGINT, signal.default_int_handler)]
