"""Errors that a user can fix: an argument, a file, a value."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable


class UserError(ValueError):
    """What a user gave cannot be taken; the text says why and what to do.

    Whatever else is raised is a fault of the package, or of another one, and
    keeps its traceback.

    Args:
        message: str. What must hold, what came, how to fix it.
        argument: str or None. The argument that it is about, by its name in
            Python, so that a command line can name its option.

    Example:

    >>> UserError("`epochs` must be positive.", argument="epochs").argument
    'epochs'
    """

    def __init__(self, message: str = "", argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class UserTypeError(UserError, TypeError):
    """A value of a type that cannot be taken."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""

    def __str__(self) -> str:
        # OSError's own text has an error number in it.
        return str(self.args[0]) if self.args else ""


class MissingPackageError(UserError, ImportError):
    """A package that an option needs, and that is not installed."""


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
    for name in given:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = (
            f"Did you mean `{near[0]}`?"
            if near
            else f"It takes: {', '.join(known)}."
        )
        raise UserTypeError(
            f"{owner} has no argument `{name}`. {hint}", argument=name
        )
