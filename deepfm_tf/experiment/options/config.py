"""The file of `--config`: options by their names, as TOML or JSON."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm_tf import shell
from deepfm_tf.errors import UserError, did_you_mean
from deepfm_tf.experiment.options.commands import COMMANDS, RECIPE, options_for
from deepfm_tf.experiment.options.data_settings import DataSettings
from deepfm_tf.experiment.run_folder.config_file import read_config
from deepfm_tf.experiment.run_folder.files import RUN_FILE
from deepfm_tf.files.layout import names_of_text
from deepfm_tf.options import Option, typed
from deepfm_tf.storage import write_text
from deepfm_tf.version import __version__

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings


def values_of_config(
    content: Mapping[str, Any], path: Path | None, options: Mapping[str, Option]
) -> dict[str, Any]:
    """The values of options, as the command line would have made them.

    Args:
        content: of `read_config`.
        path: the file.
        options: those that the command takes.

    Raises:
        UserError: there is no such option, or it cannot have the value.
    """
    by_key = {key_of(o): o for o in options.values() if o.is_kept}
    values = {}
    for key, value in content.items():
        if key not in by_key:
            hint = did_you_mean(key, by_key, str)
            raise UserError(f"--config {path}: there is no option {key}.{hint}")
        if value is not None:  # as JSON says that there is none
            try:
                values[by_key[key].name] = _value(by_key[key], value)
            except argparse.ArgumentTypeError as error:
                text = str(error).rstrip(".")
                end = "" if text.endswith("?") else "."
                raise UserError(f"--config {path}: {key} {text}{end}") from None
    return values


def write_config(settings: DataSettings) -> None:
    """Write `run.toml`, which asks for the same, into the run's folder.

    Args:
        settings: the options.
    """
    path = str(settings.run / RUN_FILE)
    again = shell.command_line(*settings.command_words, "--config", path)
    if not again.isprintable():  # a line break would end the comment
        again = "This file, given with --config,"
    lines = [
        f"# {again}",
        "# does the same. Options that you type take precedence. By "
        f"deepfm_tf {__version__}.",
    ]
    command = COMMANDS[settings.command_name]
    options = options_for(command, settings.recipe)
    # Another command that reads the file has a folder of its own.
    folder = command.folder(settings.recipe)
    if settings.recipe_name is not None:
        lines += ["", f"{RECIPE.name} = {toml(settings.recipe_name)}"]
    group = ""
    for each in sorted(options.values(), key=lambda o: command.rank(o)):
        if not each.is_kept or each.name in command.hidden:
            continue
        if each.group != group:
            group = each.group
            lines += ["", f"# --- {group}"]
        default = command.defaults.get(each.name, each.default)
        lines += ["", *_comment(each.help(default))]
        line = _line(key_of(each), getattr(settings, each.name))
        if each.name == "run" and settings.run == folder:
            line = f"# {line}"
        lines.append(line)
    write_text(settings.run / RUN_FILE, "\n".join(lines) + "\n")


def changed_options(settings: Settings) -> list[str]:
    """What decides a training, and is not as the `run.toml` there says.

    Args:
        settings: the options of now.

    Returns:
        For each such option, what was typed for it and for what it was: such
        as "--dropout 0.2 (was 0.1)". None where there is no such file.
    """
    path = settings.run / RUN_FILE
    options = {
        name: declared
        for name, declared in settings.options.items()
        if declared.decides == "training" and declared.is_kept
    }
    keys = {key_of(each) for each in options.values()}
    try:
        content = {k: v for k, v in read_config(path).items() if k in keys}
        before = values_of_config(content, path, options)
    except UserError:
        return []
    return differences(settings, before, options)


def differences(
    settings: Settings,
    before: Mapping[str, Any],
    options: Mapping[str, Option],
) -> list[str]:
    """What was typed for options that have other values now.

    Args:
        settings: the options of now.
        before: their values, by name.
        options: those to look at.

    Returns:
        As `changed_options`.
    """
    changes = []
    for name, declared in options.items():
        old, new = before.get(name), getattr(settings, name)
        if old != new:
            words = ["no", declared.flag]
            if new is not None:
                words = declared.words(new)
            was = "not given" if old in (None, False) else typed(old)
            was = "given" if old is True else was
            changes.append(f"{' '.join(words)} (was {was})")
    return changes


def toml(value: Any) -> str:
    """A value as TOML writes it.

    Args:
        value: bool, int, float, str, path, or a list or tuple of them.

    Example:

    >>> toml((0.5, "a\\tb", True))
    '[0.5, "a\\\\tb", true]'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, Path)):
        # JSON's escapes are TOML's, but for one character.
        text = json.dumps(str(value), ensure_ascii=False)
        return text.replace("\x7f", "\\u007f")
    return f"[{', '.join(map(toml, value))}]"


def _line(key: str, value: Any) -> str:
    """A line that sets an option, or that shows its place only."""
    text = "" if value is None else toml(value)
    if not text:
        return f"# {key} ="
    try:
        text.encode()
    except UnicodeEncodeError:  # a name of a file that is no UTF-8
        return f"# {key} cannot be written here: it is not UTF-8"
    return f"{key} = {text}"


def key_of(declared: Option) -> str:
    """The name without dashes in front; `schema`, of a field `schema_file`."""
    return declared.flag.removeprefix("--").replace("-", "_")


def _value(declared: Option, value: Any) -> Any:
    """The value, or an ArgumentTypeError with what must hold."""
    if declared.is_switch:
        _require(isinstance(value, bool), "true or false", value)
        return value
    is_number = "int" in declared.kind or "float" in declared.kind
    kinds: tuple[type, ...] = (int, float) if is_number else (str,)
    what = "a number" if is_number else "a text in quotes"
    is_of_any = "list" in declared.kind or "Sequence" in declared.kind
    if is_of_any and declared.metavar != "FILE":
        kinds, what = (str, int, float), "a text in quotes, or a number"
    is_list = declared.takes_many or "tuple" in declared.kind
    values = value if is_list and isinstance(value, list) else [value]
    what = f"a list, of {what} each" if is_list else what
    for each in values:
        is_right = isinstance(each, kinds) and not isinstance(each, bool)
        _require(is_right, what, value)
    if not values and declared.default == ():
        return ()
    if declared.takes_many:
        _require(bool(values), "a list of at least one value", value)
        return [str(each) for each in values]
    if declared.choices:
        allowed = f"one of {', '.join(declared.choices)}"
        _require(value in declared.choices, allowed, value)
    if declared.parse is names_of_text and isinstance(value, list):
        return tuple(values)  # a name may have a comma in it
    return declared.parse(",".join(map(str, values)))


def _require(holds: bool, what: str, value: Any) -> None:
    if not holds:
        raise argparse.ArgumentTypeError(f"must be {what}. Received: {value!r}")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 78, initial_indent="# ", subsequent_indent="# ")
