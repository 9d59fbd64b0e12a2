"""Commands that are printed."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from deepfm_tf.shell import command_line


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A virtual environment in the folder `home`, beside a system's Python."""
    system, own = tmp_path / "system", tmp_path / "home" / ".venv" / "bin"
    for folder in (system, own):
        folder.mkdir(parents=True)
    (system / "python").touch(0o755)
    for name in ("python", "python3"):
        (own / name).symlink_to(system / "python")
    (own / "tool").touch(0o755)
    monkeypatch.setattr(sys, "executable", str(own / "python3"))
    monkeypatch.setenv("PATH", str(system))
    monkeypatch.chdir(tmp_path / "home")
    return own


def test_an_interpreter_below_is_named_from_here(environment):
    assert command_line("python", "-m", "x") == ".venv/bin/python3 -m x"
    assert command_line("tool", "show") == ".venv/bin/tool show"


def test_one_elsewhere_is_named_as_the_shell_finds_it(
    environment, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path / "system")

    # The system's Python, although the environment's is a link to it, is
    # another one: it has other packages.
    assert command_line("python", "x") == f"{environment}/python3 x"
    path = os.pathsep.join([str(environment), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    assert command_line("python", "x") == "python x"
    assert command_line("tool") == "tool"


def test_the_shell_gets_back_what_was_meant(environment, tmp_path, monkeypatch):
    folder = tmp_path / "my home"
    (tmp_path / "home").rename(folder)
    interpreter = folder / ".venv" / "bin" / "python3"
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.chdir(tmp_path / "system")
    words = ["-c", "print('a b')", "$HOME", ""]

    assert shlex.split(command_line("python", *words)) == [
        str(interpreter),
        *words,
    ]
    assert Path(shlex.split(command_line("tool"))[0]).is_file()
