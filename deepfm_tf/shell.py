"""Commands that are printed, so that they can be pasted as they are."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command_line(program: str, *words: str) -> str:
    """A command for the shell, with this process's own programs.

    Args:
        program: str. `"python"` for the interpreter that runs this, or the
            name of a script installed beside it.
        words: what follows, as the program is to receive it.

    Returns:
        The text. The program is named as one would type it from here: by its
        path below the working directory if it lies there, by its name alone
        if the shell finds it so, else by its whole path.

    Example:

    >>> command_line("python", "-m", "x", "--dir", "my data").split(" ", 1)[1]
    "-m x --dir 'my data'"
    """
    path = Path(sys.executable or "python")
    if program != "python":
        path = path.with_name(program)
    return shlex.join([_as_typed(path, program), *words])


def option(name: str, *values: str) -> str:
    """An option with its values, for the shell.

    A value that begins like an option needs `=`.

    Example:

    >>> option("--missing", "n a", "-"), option("--label", "-no", "b")
    ("--missing 'n a' -", '--label=-no --label=b')
    """
    if any(v.startswith("-") and len(v) > 1 or not v for v in values):
        return " ".join(f"{name}={shlex.quote(value)}" for value in values)
    return shlex.join([name, *values])


def _as_typed(path: Path, name: str) -> str:
    # Links are not followed: a virtual environment's interpreter is a link
    # to one that lacks its packages.
    if path.is_relative_to(Path.cwd()):
        return os.path.relpath(path)
    found = shutil.which(name)
    if found is not None and _is_same(Path(found), path):
        return name
    return str(path)


def _is_same(first: Path, second: Path) -> bool:
    """Whether two programs are one, of one folder."""
    return (
        second.exists()
        and first.samefile(second)
        and first.parent.samefile(second.parent)
    )
