"""A command line's mistakes, told in its own words."""

from __future__ import annotations

import argparse
import difflib
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import deepfm_tf

# What errors of the package call its arguments -> the options that set them.
OPTIONS = {
    "categorical": "--categorical",
    "clip_norm": "--clip-norm",
    "column_names": "--no-header --columns",
    "example_weight": "--example-weight",
    "ignore": "--ignore",
    "learning_rate": "--learning-rate",
    "missing_values": "--missing",
    "negative_labels": "--negative-label",
    "negative_sampling": "--negative-sampling",
    "num_replicas": "--replicas",
    "on_error": "--on-error",
    "positive_labels": "--positive-label",
    "separator": "--separator",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are two lines, not the whole usage."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but a mistyped option is told first.

        What is required may only seem absent because it is misspelt.
        """
        args = sys.argv[1:] if args is None else list(args)
        self._check_names(args)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(2, f"error: {message}\nSee: {self.prog} --help\n")

    def _check_names(self, args: Sequence[str]) -> None:
        known = [
            option
            for action in self._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
        ]
        for word in args:
            if word == "--":
                return
            name = word.partition("=")[0]
            if not name.startswith("--") or " " in name:
                continue
            if name in self._option_string_actions:
                continue
            near = difflib.get_close_matches(name.replace("_", "-"), known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            self.error(f"There is no option {name}.{hint}")


def told(error: deepfm_tf.UserError) -> str:
    """An error of the package, for someone who typed options and no Python.

    Example:

    >>> told(deepfm_tf.UserError("It must be odd.", argument="separator"))
    '--separator: It must be odd.'
    """
    return error.with_options(OPTIONS)


def say_fault(command: str) -> None:
    """Show the exception of now, and how to report it.

    Args:
        command: what was typed.
    """
    traceback.print_exc()
    print(
        "\nerror: This is a fault of the program, not of the data or the "
        "options. Please report it with all that stands above, with the "
        f"version, deepfm_tf {deepfm_tf.__version__}, and with the command:\n"
        f"    {command}",
        file=sys.stderr,
    )
