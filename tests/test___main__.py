"""`deepfm-tf`: which command is run, and what a mistyped one is told."""

import pytest

from deepfm_tf.__main__ import COMMANDS, main
from deepfm_tf.version import __version__


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0

    text = capsys.readouterr().out
    for command in COMMANDS:
        assert text.count(f"  deepfm-tf {command} --help") == 2


def test_a_mistyped_command_is_guessed(capsys):
    assert main(["trian", "--train", "a.csv"]) == 2

    assert capsys.readouterr().err == (
        "error: There is no command trian. Did you mean train?\n"
        "See: deepfm-tf --help\n"
    )


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"deepfm-tf {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_help(command, capsys):
    try:
        status = main([command, "--help"])
    except SystemExit as end:  # argparse's way
        status = end.code

    assert status == 0
    out = capsys.readouterr().out
    assert "usage: " in out or "Serve SavedModels" in out


def test_serve_is_told_what_was_typed(monkeypatch):
    told = []

    def serve(arguments, command):
        told.append((arguments, command))

    monkeypatch.setattr("deepfm_tf.serving.__main__.main", serve)

    assert main(["serve", "--port=1"]) == 0
    assert told == [(["--port=1"], "deepfm-tf serve")]


def test_ctrl_c_ends_a_command_in_one_line(monkeypatch, capsys):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupt)

    assert main(["train"]) == 130
    assert capsys.readouterr().err == "\nInterrupted\n"
