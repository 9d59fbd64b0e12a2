"""Errors that a user can fix: an argument, a file, a value."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

# What arguments were called until 0.4 -> what they are called.
_RENAMED = {
    "negatives": "negative_sampling",
    "num_slots": "num_ids",
    "numeric_parts": "factor_blocks",
    "parts_of_vectors": "factor_blocks",
    "slots_per_field": "columns_per_field",
    "touched_l2": "batch_l2",
    "values": "vocabulary",
}
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument that a message speaks of.

    Args:
        name: str. Its name in Python.
        value: its value, where the message speaks of that. A string is shown
            in double quotes. Optional.
    """

    name: str
    value: Any = None

    def __str__(self) -> str:
        if self.value is None:
            return f"`{self.name}`"
        if isinstance(self.value, str):
            return f'{self.name}="{self.value}"'
        return f"{self.name}={self.value!r}"

    def as_option(self, options: Mapping[str, str]) -> str:
        """What was, or can be, typed for it on a command line.

        Args:
            options: what the command line calls its arguments.
        """
        if self.name not in options:
            return str(self)
        words = () if self.value is None else _words(self.value)
        return shlex.join([*options[self.name].split(), *words])


class UserError(ValueError):
    """What a user gave cannot be taken; the text says why and what to do.

    Whatever else is raised is a fault of the package, or of another one, and
    keeps its traceback.

    Args:
        *parts: str or Argument. What must hold, what came, how to fix it. An
            argument by its name in Python may stand in the text; as an
            `Argument` of its own, a command line can name its option.
        argument: str or None. The argument that it is about.

    Example:

    >>> error = UserError(
    ...     "Line 3: the label is missing. Fix it, or pass ",
    ...     Argument("on_error", "skip"),
    ...     ".",
    ... )
    >>> print(error)
    Line 3: the label is missing. Fix it, or pass on_error="skip".
    >>> error.with_options({"on_error": "--on-error"})
    'Line 3: the label is missing. Fix it, or pass --on-error skip.'
    """

    def __init__(
        self, *parts: str | Argument, argument: str | None = None
    ) -> None:
        super().__init__("".join(map(str, parts)))
        self.parts = parts
        self.argument = argument

    def with_options(self, options: Mapping[str, str]) -> str:
        """The text, for someone who typed options and no Python.

        Args:
            options: what a command line calls its arguments. If the text
                itself does not name the one that the error is about, that
                one's option stands before it.
        """
        arguments = [p for p in self.parts if isinstance(p, Argument)]
        text = "".join(
            p.as_option(options) if isinstance(p, Argument) else p
            for p in self.parts
        )
        option = options.get(self.argument or "")
        if option is None or self.argument in [a.name for a in arguments]:
            return text
        return f"{option}: {text}"


class UserTypeError(UserError, TypeError):
    """A value of a type that cannot be taken."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""

    # Who looks for `__new__`, as those who pickle for Dask do, would find that
    # of ValueError, which cannot make an OSError.
    def __new__(cls, *_: object, **__: object) -> MissingFileError:
        return OSError.__new__(cls)

    def __str__(self) -> str:
        # OSError's own text has an error number in it.
        return str(self.args[0]) if self.args else ""


class ExistingFileError(UserError, FileExistsError):
    """A file or folder that is there, and must not be replaced."""

    def __new__(cls, *_: object, **__: object) -> ExistingFileError:
        return OSError.__new__(cls)

    __str__ = MissingFileError.__str__


class MissingPackageError(UserError, ImportError):
    """A package that an option needs, and that is not installed."""


def wrapped_user_error(error: BaseException) -> UserError | None:
    """The UserError that a data set raised, inside TensorFlow's error.

    TensorFlow has no other way to tell of it than as text between its own.

    Args:
        error: of `fit`, `evaluate` or an iteration.

    Returns:
        UserError with the sentence alone; None if there is none inside.
    """
    names = "|".join([UserError.__name__, *_names_below(UserError)])
    found = re.search(
        rf"\b(?:{names}): (.*?)\nTraceback \(most recent call last\)",
        str(error),
        re.DOTALL,
    )
    return UserError(found[1]) if found else None


def _names_below(kind: type[UserError]) -> list[str]:
    names: list[str] = []
    for below in kind.__subclasses__():
        names += [below.__name__, *_names_below(below)]
    return names


@functools.cache
def arguments_of(owner: type, stop: type = object) -> set[str]:
    """What the constructors of a class and of its bases call their arguments.

    Args:
        owner: type.
        stop: type. The last base to look at.
    """
    names = set()
    for base in owner.__mro__:
        if "__init__" in vars(base):
            names |= {
                name
                for name, value in inspect.signature(
                    base.__init__  # type: ignore[misc]
                ).parameters.items()
                if value.kind
                in (value.POSITIONAL_OR_KEYWORD, value.KEYWORD_ONLY)
            }
        if base is stop:
            break
    return names - {"self"}


def refuse_unknown(
    owner: type | str,
    given: Iterable[str],
    known: Iterable[str] | None = None,
) -> None:
    """Raise UserTypeError, with a guess, unless all arguments are known.

    Args:
        owner: type or str. What was called.
        given: names of the arguments that came.
        known: names of those that it takes. Defaults to `None`: those of the
            constructor of `owner`.

    Example:

    >>> refuse_unknown("DeepFM", ["dropuot"], ["dropout", "name"])
    Traceback (most recent call last):
    deepfm_tf.errors.UserTypeError: DeepFM has no argument `dropuot`. Did you...
    """
    if isinstance(owner, type):
        known = arguments_of(owner) if known is None else known
        owner = owner.__name__
    known = sorted(known or ())
    all_of_them = f" It takes: {', '.join(known)}."
    for name in given:
        if name in known:
            continue
        hint = did_you_mean(name, known, "`{}`".format)
        if _RENAMED.get(name) in known:
            hint = f" It is now called `{_RENAMED[name]}`."
        raise UserTypeError(
            f"{owner} has no argument `{name}`.{hint or all_of_them}",
            argument=name,
        )


def with_known_arguments(owner: _Callable) -> _Callable:
    """Decorate a function or class that Python would refuse with no guess.

    Args:
        owner: what is called.

    Example:

    >>> @with_known_arguments
    ... def fit(dropout=0.1): ...
    >>> fit(dropuot=0.2)
    Traceback (most recent call last):
    deepfm_tf.errors.UserTypeError: fit has no argument `dropuot`. Did you...
    """
    known = inspect.signature(owner).parameters
    function: Callable[..., Any] = owner
    if isinstance(owner, type):
        function = owner.__init__  # type: ignore[misc]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        refuse_unknown(owner.__name__, kwargs, known)
        return function(*args, **kwargs)

    if not isinstance(owner, type):
        return checked  # type: ignore[return-value]
    owner.__init__ = checked  # type: ignore[misc]
    return owner


def damaged(path: Path, what: str) -> UserError:
    """The error of a file that we wrote, such as one that "is not there"."""
    return UserError(
        f"{path} {what}. The directory is damaged: prepare the data again, or "
        "save the vocabulary again."
    )


def did_you_mean(
    name: str,
    names: Iterable[str],
    show: Callable[[str], str] = repr,
    cutoff: float = 0.6,
) -> str:
    """A sentence that offers the nearest name, or nothing.

    Args:
        name: what was written, in whatever case.
        names: those that there are.
        show: how a name is written. Quoted by default.
        cutoff: float in [0, 1]. How alike the two must be.

    Example:

    >>> did_you_mean("Sit", ["site", "hour"])
    " Did you mean 'site'?"
    >>> did_you_mean("--prot", ["--port", "--host"], show=str)
    ' Did you mean --port?'
    >>> did_you_mean("price", ["site", "hour"])
    ''
    """
    by_lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff)
    return f" Did you mean {show(by_lower[near[0]])}?" if near else ""


def _words(value: Any) -> list[str]:
    many = isinstance(value, (tuple, list))
    return [str(each) for each in (value if many else [value])]
