"""Errors that a user can fix: an argument, a file, a value."""

from __future__ import annotations


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
