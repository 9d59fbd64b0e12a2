"""The one command line of all that reads data: from words to settings."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from deepfm_tf import shell
from deepfm_tf.cluster import Cluster, read_cluster
from deepfm_tf.errors import UserError, wrapped_user_error
from deepfm_tf.experiment.continuation import carried
from deepfm_tf.experiment.fitting.workers import check_alone, lost_worker
from deepfm_tf.experiment.options.arguments import path
from deepfm_tf.experiment.options.commands import (
    COMMANDS,
    RECIPE,
    Command,
    options_for,
)
from deepfm_tf.experiment.options.config import values_of_config
from deepfm_tf.experiment.options.data_settings import GROUPS, DataSettings
from deepfm_tf.experiment.options.recipe import OWN_FILES, Recipe
from deepfm_tf.experiment.run_folder.config_file import read_config
from deepfm_tf.experiment.run_folder.files import (
    check_begun,
    is_begun,
    run_folder,
)
from deepfm_tf.options import Option, Parser, flags_of, options_of
from deepfm_tf.version import __version__

# All options have one name in errors of the package, whatever the command.
_FLAGS = {
    argument: flags
    for command in COMMANDS.values()
    for argument, flags in flags_of(
        options_of(command.settings).values()
    ).items()
}


def main(
    recipe: Recipe = OWN_FILES,
    arguments: Sequence[str] | None = None,
    run_with: Callable[[Any], object] | None = None,
    command: str = "train",
    command_words: tuple[str, ...] | None = None,
    recipes: Mapping[str, str] | None = None,
) -> int:
    """Run a command from the command line; returns the exit status.

    Args:
        recipe: the data set.
        arguments: of the command line; None for those of the process.
        run_with: what is done with the settings. Defaults to what the
            command does.
        command: its name in `COMMANDS`.
        command_words: what the user typed before the options. Defaults to the
            recipe's words for `"train"`, else those of `deepfm-tf`.
        recipes: what `--recipe` may name -> the module with its `RECIPE`.
            `None` leaves the option out.
    """
    line = CommandLine(recipe, COMMANDS[command], command_words, recipes)
    settings = line.settings(
        tuple(sys.argv[1:] if arguments is None else arguments)
    )
    models = getattr(settings, "model", ())
    is_auto = getattr(settings, "auto", False)
    if command in ("compare", "sweep") or is_auto or len(models) > 1:
        # Many models in one process are traced again and again, as they must.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    cluster = Cluster()
    try:
        if command != "prepare":
            cluster = read_cluster()
            if command != "train" or is_auto:
                check_alone("--auto" if is_auto else command, cluster)
        if command == "train" and settings.resume and cluster.num_workers == 1:
            check_begun(settings.run)
        with run_folder(settings.run) if cluster.is_chief else nullcontext():
            (run_with or COMMANDS[command].check_and_run)(settings)
    except UserError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nStopped. {settings.kept}. Continue with:\n"
            f"    {settings.command(resume=is_begun(settings.run))}",
            file=sys.stderr,
        )
        return 130
    except Exception as error:
        # TensorFlow tells of what a data set raises in a text of its own.
        wrapped = wrapped_user_error(error) or lost_worker(error, cluster)
        if wrapped is None:
            _say_fault(settings.command())
            return 1
        print(f"error: {wrapped}", file=sys.stderr)
        return 2
    return 0


class CommandLine:
    """A command, and the options that it takes for a data set.

    Args: as of `main`.
    """

    def __init__(
        self,
        recipe: Recipe = OWN_FILES,
        command: Command = COMMANDS["train"],
        command_words: tuple[str, ...] | None = None,
        recipes: Mapping[str, str] | None = None,
    ) -> None:
        self.recipe = recipe
        self.command = command
        self.recipes = recipes
        if command_words is None:
            command_words = ("deepfm-tf", command.name)
            if command.name == "train":
                command_words = recipe.command_words
        self.command_words = command_words

    @property
    def options(self) -> dict[str, Option]:
        """The options, by name."""
        return options_for(self.command, self.recipe)

    @property
    def defaults(self) -> dict[str, Any]:
        """What differs from the defaults that are declared."""
        run = self.command.folder(self.recipe)
        return {"run": run, **self.recipe.defaults, **self.command.defaults}

    def parser(self, known: Mapping[str, Any] | None = None) -> Parser:
        """The parser.

        Args:
            known: values that a file gives. Optional.
        """
        words = self.command_words
        description = self.command.description or self.recipe.description
        parser = Parser(
            prog=" ".join(words),
            description=description.format(command=shell.command_line(*words)),
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            elsewhere=_others(self.command, self.recipe),
        )
        hidden = self.command.hidden
        parser.add_options(self.options.values(), GROUPS, self.defaults, hidden)
        if self.recipes is not None:
            self._add_recipe(parser)
        if known is not None:
            parser.set_defaults(**known)
            parser.require_no_more(known)
        return parser

    def settings(self, arguments: Sequence[str]) -> Any:
        """The settings that the words ask for; exits where they are wrong."""
        first = Parser(
            prog=" ".join(self.command_words),
            add_help=False,
            allow_abbrev=False,
        )
        first.add_argument("--config", type=path, metavar="FILE")
        first.add_argument("--continue-from", type=path, metavar="DIR")
        if self.recipes is not None:
            self._add_recipe(first)
        told_first, _ = first.parse_known_args(arguments)
        try:
            return self._settings(arguments, told_first)
        except UserError as error:
            first.error(told(error))

    def _settings(
        self, arguments: Sequence[str], told_first: argparse.Namespace
    ) -> Any:
        content: dict[str, Any] = {}
        if told_first.continue_from is not None:
            # Below what is in a file: that of another run has its own origin.
            content = carried(told_first.continue_from, self.options)
        if told_first.config is not None:
            content |= read_config(told_first.config)
        if self.recipes is not None:
            # It decides which other options there are.
            given = any(w.partition("=")[0] == RECIPE.flag for w in arguments)
            name = content.pop(RECIPE.name, RECIPE.default)
            name = told_first.recipe if given else name
            if name not in self.recipes:
                raise UserError(
                    f"{told_first.config}: recipe must be one of "
                    f"{', '.join(self.recipes)}. Received: {name!r}."
                )
            module = importlib.import_module(self.recipes[name])
            self.recipe = module.RECIPE
        known = values_of_config(content, told_first.config, self.options)
        parser = self.parser(known)
        values = vars(parser.parse_args(arguments))
        recipe_name = values.pop(RECIPE.name, None)
        if values.get("no_header", False) != (
            values.get("columns") is not None
        ):
            raise UserError("--no-header and --columns A,B,C go together")
        if self.recipe.label is not None:
            values["label"] = self.recipe.label
        settings = self.command.settings(
            recipe=self.recipe,
            command_name=self.command.name,
            command_words=self.command_words,
            recipe_name=recipe_name,
            arguments=tuple(arguments),
            **values,
        )
        _ = settings.text_format  # or an error
        return settings

    def _add_recipe(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            RECIPE.flag,
            choices=tuple(self.recipes or ()),
            default=RECIPE.default,
            help=RECIPE.help(RECIPE.default),
        )


def told(error: UserError) -> str:
    """An error of the package, for someone who typed options and no Python.

    Example:

    >>> told(UserError("It must be odd.", argument="separator"))
    '--separator: It must be odd.'
    """
    return error.with_options(_FLAGS)


def words_of(settings: DataSettings, **changed: Any) -> list[str]:
    """What is typed after `train` to get the same settings.

    Options that have their defaults are left out.

    Args:
        settings: the options, perhaps those of another command.
        **changed: values of options, by name; None leaves one out.
    """
    line = CommandLine(settings.recipe)
    words: list[str] = []
    for name, declared in line.options.items():
        if not declared.is_kept:
            continue
        default = line.defaults.get(name, declared.default)
        value = getattr(settings, name, default)
        value = changed.get(name, value)
        if name in changed or value != default:
            words += [] if value is None else declared.words(value)
    return words


def _others(command: Command, recipe: Recipe) -> dict[str, str]:
    """The flags that other commands have -> which ones."""
    names: dict[str, list[str]] = {}
    for other in COMMANDS.values():
        for declared in options_for(other, recipe).values():
            if declared.name not in other.hidden and other is not command:
                names.setdefault(declared.flag, []).append(other.name)
    return {flag: ", ".join(found) for flag, found in names.items()}


def _say_fault(command: str) -> None:
    traceback.print_exc()
    print(
        "\nerror: This is an error in the program, not in the data or the "
        "options. Please report it. Send everything that is printed above, "
        f"the version (deepfm_tf {__version__}) and the command:\n    "
        f"{command}",
        file=sys.stderr,
    )
