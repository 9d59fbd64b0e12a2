"""Someone who follows the pages: runs their blocks, in one folder."""

import contextlib
import functools
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import deepfm_tf.__main__
from deepfm_tf.serving.__main__ import announcement
from deepfm_tf.serving.server.flags import parse_flags
from deepfm_tf.serving.server.server import Server

ROOT = Path(__file__).parents[2]
COMMAND = ".venv/bin/deepfm-tf"
PYTHON = ".venv/bin/python"
# They make an environment, or a checkout: the machine that runs the tests has
# one already.
INSTALL = ("git", "cd", "make", "python3", ".venv/bin/pip")
# As in the pages, where the server has these.
GRPC, REST = "localhost:8500", "localhost:8501"
# What training prints is not the same on every machine.
MEASURED = ("train", "compare", "sweep")


class Reader:
    """Runs blocks where it is told to, and says what they print.

    Args:
        folder: Path. The folder that the pages call the current one.
        num_rows: int or None. Of the example clicks, where the pages do not
            say it.
    """

    def __init__(self, folder, num_rows=None):
        self.folder = folder
        self.num_rows = num_rows
        self.names = {}
        self.server = None
        # A checkout has these.
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "pipelines").symlink_to(ROOT / "pipelines")

    def turn_the_page(self):
        """Another page: a new Python, and no server."""
        self.names = {}
        if self.server is not None:
            self.server.stop(grace=0)
            self.server = None

    def follow(self, block):
        """Run a block; returns what it prints."""
        if block.language == "python":
            return self._run(functools.partial(self._python, block))
        commands = block.commands
        if {words[0] for words in commands} <= {COMMAND, PYTHON}:
            return "".join(self.command(words) for words in commands)
        if any(words[0] in INSTALL for words in commands):
            return None
        return self._shell(block.text)

    def _python(self, block):
        source = "\n" * (block.line - 1) + self._with_ports(block.text)
        exec(compile(source, block.page, "exec"), self.names)

    def command(self, words):
        """Run a command, given its words; returns what it prints."""
        if words[1] == "-m":
            if self.num_rows and words[2] == "pipelines.example_clicks":
                words = [*words, str(self.num_rows)]
            with mock.patch.object(sys, "argv", words[2:]):
                return self._run(
                    functools.partial(
                        runpy.run_module, words[2], run_name="__main__"
                    )
                )
        if words[1] == "serve":
            return self._serve(words[2:])
        words = [self._with_ports(word) for word in words]
        if words[1] == "predict" and "--address" not in words:
            words += ["--address", self._with_ports(GRPC)]
        return self._run(functools.partial(deepfm_tf.__main__.main, words[1:]))

    def _run(self, function):
        output = io.StringIO()
        with (
            _in(self.folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            status = function()
        # A module that is run gives its names.
        assert status in (None, 0) or isinstance(status, dict), (
            output.getvalue()
        )
        return output.getvalue()

    def _serve(self, flags):
        ports = ["--port=0", "--rest_api_port=-1"]
        flags = [f for f in flags if "port=" not in f]
        flags = [f.replace("=saved", f"={self.folder}/saved") for f in flags]
        self.server = Server(parse_flags([*flags, *ports]))
        self.server.start(timeout=240)
        said = announcement(self.server, "deepfm-tf serve")
        said = said.replace(f":{self.server.port}", ":8500")
        return said.replace(f":{self.server.rest_port}", ":8501") + "\n"

    def _with_ports(self, text):
        if self.server is None:
            return text
        text = text.replace(GRPC, f"localhost:{self.server.port}")
        return text.replace(REST, f"localhost:{self.server.rest_port}")

    def _shell(self, text):
        bash = shutil.which("bash")
        done = subprocess.run(
            [bash, "-euc", self._with_ports(text)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def _in(folder):
    """`contextlib.chdir`, which Python 3.10 does not have."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def is_measured(block):
    """Whether what a block prints depends on the machine."""
    if "predictions" in (block.output or ""):
        return True
    return block.language == "python" or any(
        words[0] == COMMAND and words[1] in MEASURED for words in block.commands
    )


def difference(expected, printed, is_measured):
    """The first line of a page that is not what was printed; None if all are.

    A line `...` stands for any number of lines.

    Args:
        expected: str. The block on the page.
        printed: str. What the run printed.
        is_measured: bool. Whether any number is as good as another.
    """
    wanted = [_plain(line, is_measured) for line in expected.splitlines()]
    left = [_plain(line, is_measured) for line in printed.splitlines()]
    left = [line for line in left if line]
    may_skip = False
    for number, line in enumerate(wanted):
        if line == "...":
            may_skip = True
            continue
        if not line:
            continue
        place = left.index(line) if line in left else -1
        if place < 0 or (place and not may_skip):
            return expected.splitlines()[number]
        left, may_skip = left[place + 1 :], False
    return None if may_skip or not left else f"(and then) {left[0]}"


def _plain(line, is_measured):
    """A line without its blanks and, where they are measured, its numbers."""
    if is_measured:
        line = re.sub(r"-?\d[\d,.]*(e[-+]?\d+)?", "#", line)
        line = re.sub(r"-{2,}", "--", line)
    # Wherever the packages are.
    line = re.sub(r"\S+/bin/", ".venv/bin/", line)
    return " ".join(line.split())
