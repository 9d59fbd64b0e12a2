"""Options of commands, each declared once as a field of a dataclass.

The parser, the help, the file of `--config`, what resuming compares and the
commands that are printed all follow from the declarations.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from deepfm_tf.errors import did_you_mean


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command.

    Args:
        text: str. What `--help` says of it, without its default.
        group: str. The heading that it stands under.
        parse: what turns the text that was typed into the value; or raises
            argparse.ArgumentTypeError, which says what must hold.
        metavar: str. What stands for the value in `--help`.
        choices: the only values, where they are names.
        is_switch: bool. Whether it takes no value, and is on where it stands.
        takes_many: bool. Whether it takes several values, and may be given
            several times.
        decides: `"training"` if it decides the course of a training,
            `"results"` if only what is told of it, else "".
        default_text: what `--help` says of the default, where the value does
            not tell. None says nothing.
        argument: str. What errors of the package call it, where they do.
        flags: str. What is typed for it, where that is not its name alone.
        fixed_by, needs: str. Attribute of a data set that leaves no choice;
            attribute without which it does nothing.
        models: the models that take it, where it is about models.
        builds: str. What their constructors call it. Defaults to its name.
        is_kept: bool. Whether it stands in the file of `--config`.
        flag, name, default, kind: by the field that declares it; `kind` is its
            annotation.
    """

    text: str
    group: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    is_switch: bool = False
    takes_many: bool = False
    decides: str = ""
    default_text: str | None = ""
    argument: str | None = None
    flags: str | None = None
    fixed_by: str = ""
    needs: str = ""
    models: tuple[str, ...] = ()
    builds: str = ""
    is_kept: bool = True
    flag: str = ""
    name: str = ""
    default: Any = None
    kind: str = ""

    def help(self, default: Any) -> str:
        """The text of `--help`, with the default."""
        told = self.default_text
        if told == "" and default not in (None, (), False, dataclasses.MISSING):
            told = typed(default)
        return f"{self.text} (default: {told})" if told else self.text

    def add_to(
        self,
        group: Any,
        default: Any,
        is_hidden: bool = False,
        also: Sequence[str] = (),
    ) -> None:
        """Add it to a group of an argument parser.

        Args:
            group: the group, or the parser.
            default: its default there.
            is_hidden: bool. Whether `--help` keeps silent about it.
            also: other flags for it.
        """
        arguments: dict[str, Any] = {
            "dest": self.name,
            "help": self.help(default).replace("%", "%%"),
            "default": default,
        }
        if is_hidden:
            arguments["help"] = argparse.SUPPRESS
        if default is dataclasses.MISSING:
            arguments |= {"required": True, "default": None}
        if self.is_switch:
            group.add_argument(
                self.flag, *also, action="store_true", **arguments
            )
            # Takes back what a file of `--config` says.
            group.add_argument(
                opposite(self.flag),
                dest=self.name,
                action="store_false",
                help=argparse.SUPPRESS,
                default=argparse.SUPPRESS,
            )
            return
        if self.takes_many:
            arguments |= {"action": _Collect, "nargs": "+"}
        if self.choices:
            arguments["choices"] = self.choices
        else:
            arguments |= {"type": self.parse, "metavar": self.metavar}
        group.add_argument(self.flag, *also, **arguments)

    def words(self, value: Any) -> list[str]:
        """What is typed to give it a value."""
        if self.is_switch:
            return [self.flag if value else opposite(self.flag)]
        values = value if self.takes_many else [typed(value)]
        values = [str(each) for each in values]
        if any(v.startswith("-") or not v for v in values):
            return [f"{self.flag}={each}" for each in values]
        return [self.flag, *values]


def option(
    default: Any,
    text: str,
    parse: Callable[[str], Any] = str,
    metavar: str | None = None,
    *,
    group: str,
    **others: Any,
) -> Any:
    """A field of a dataclass that declares an option.

    Args:
        default: its default; `dataclasses.MISSING` where it must be given.
        text, parse, metavar, group, **others: of the `Option`.

    Example:

    >>> @dataclasses.dataclass(kw_only=True)
    ... class Settings:
    ...     dropout: float = option(0.1, "probability", float, group="model")
    >>> options_of(Settings)["dropout"].flag
    '--dropout'
    """
    declared = Option(text, group, parse, metavar, **others)
    return dataclasses.field(default=default, metadata={"option": declared})


def switch(
    text: str, default: bool | None = False, *, group: str, **others: Any
) -> Any:
    """The same, of an option without a value.

    Args: as of `option`.
    """
    return option(default, text, group=group, is_switch=True, **others)


def options_of(settings: type) -> Mapping[str, Option]:
    """The options that a dataclass declares, by the names of its fields."""
    return _options_of(settings)


@functools.cache
def _options_of(settings: type) -> Mapping[str, Option]:
    options: dict[str, Option] = {}
    for field in dataclasses.fields(settings):
        declared = field.metadata.get("option")
        if declared is not None:
            options[field.name] = dataclasses.replace(
                declared,
                name=field.name,
                flag=declared.flag or "--" + field.name.replace("_", "-"),
                builds=declared.builds or field.name,
                default=field.default,
                kind=str(field.type),
            )
    return types.MappingProxyType(options)


def typed(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(typed, value))
    is_whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if is_whole else str(value)


def flags_of(options: Iterable[Option]) -> dict[str, str]:
    """What errors of the package call an argument -> what is typed for it."""
    return {
        each.argument: each.flags or each.flag
        for each in options
        if each.argument is not None
    }


def opposite(flag: str) -> str:
    """The flag that takes a switch back.

    Example:

    >>> opposite("--batch-norm"), opposite("--no-header")
    ('--no-batch-norm', '--header')
    """
    name = flag.removeprefix("--")
    if name.startswith("no-"):
        return f"--{name.removeprefix('no-')}"
    return f"--no-{name}"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are two lines, not the whole usage.

    Args:
        elsewhere: flags of other commands -> the commands, as one types them.
        **options: as of argparse.
    """

    def __init__(
        self, *, elsewhere: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._elsewhere = elsewhere or {}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but a mistyped option is told first.

        What is required may only seem absent because it is misspelt.
        """
        args = sys.argv[1:] if args is None else list(args)
        self._check_names(args)
        return super().parse_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Python 3.14 guesses too, but not as all our messages do.
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = did_you_mean(str(value), map(str, action.choices or ()))
            if "you mean" not in error.message:
                error.message += f".{hint}" * bool(hint)
            raise

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(2, f"error: {message}\nSee: {self.prog} --help\n")

    def add_options(
        self,
        options: Iterable[Option],
        groups: Sequence[str],
        defaults: Mapping[str, Any],
        hidden: Iterable[str] = (),
    ) -> None:
        """Add options, under their headings.

        Args:
            options: the options.
            groups: the headings, in their order.
            defaults: other defaults, by name.
            hidden: names of those that `--help` keeps silent about.
        """
        headings = {title: self.add_argument_group(title) for title in groups}
        for each in options:
            default = defaults.get(each.name, each.default)
            each.add_to(headings[each.group], default, each.name in hidden)

    def require_no_more(self, names: Iterable[str]) -> None:
        """Options that need not be typed, as a file gives them."""
        for action in self._actions:
            if action.dest in names:
                action.required = False

    def _check_names(self, args: Sequence[str]) -> None:
        known = [
            flag
            for action in self._actions
            if action.help != argparse.SUPPRESS
            for flag in action.option_strings
        ]
        for word in args:
            if word == "--":
                return
            name = word.partition("=")[0]
            if not name.startswith("--") or " " in name:
                continue
            if name in self._option_string_actions:
                continue
            if name in self._elsewhere:
                self.error(
                    f"{name} is an option of {self._elsewhere[name]}, not of "
                    f"{self.prog}."
                )
            hint = did_you_mean(name.replace("_", "-"), known, str)
            self.error(f"There is no option {name}.{hint}")


class _Collect(argparse.Action):
    """An option that may be given several times, each with some values.

    argparse's own actions either keep the last values alone, or add to the
    default.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the values to those that were given before."""
        # Before Python 3.13 argparse drops the value of `--missing=--`.
        values = values or ["--"]
        before = getattr(namespace, self.dest)
        is_first = before is parser.get_default(self.dest)
        setattr(namespace, self.dest, [*([] if is_first else before), *values])
