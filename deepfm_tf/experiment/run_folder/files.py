"""Where results go: seen to before any work; and disks that are full."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deepfm_tf.errors import UserError
from deepfm_tf.storage import hold

# What every run writes first: its options.
RUN_FILE = "run.toml"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_folder(option: str, path: Path) -> None:
    """See that a folder can be written to, or be made.

    Args:
        option: str. The one that names it.
        path: the folder. It is left as it was.

    Raises:
        UserError: says why not, and what to do.

    Example:

    >>> check_folder("--run", Path(__file__))
    Traceback (most recent call last):
    deepfm_tf.errors.UserError: --run ...: is a file. Name a folder...
    """
    if path.exists() and not path.is_dir():
        raise UserError(
            f"{option} {path}: is a file. Name a folder; it is made if need be."
        )
    try:
        _try_out(path)
    except OSError as error:
        raise UserError(
            f"{option} {path}: cannot be written to ({error.strerror}). Name "
            "a folder where you may write."
        ) from error


def check_file(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """See that a file can be written, or replaced.

    Args:
        option: str. The one that names it.
        path: the file. It is left as it was.
        suffixes: what its name may end in: no data file is replaced by
            mistake.

    Raises:
        UserError: says why not, and what to do.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise UserError(
            f"{option} {path}: is {what}. Name a new file, or one that may be "
            "replaced."
        )
    if path.suffix not in suffixes:
        raise UserError(
            f"{option} {path}: the name must end in {' or '.join(suffixes)}. "
            f"Name such a file, for example {path.with_suffix(suffixes[0])}."
        )
    try:
        if path.exists():
            open(path, "ab").close()
        _try_out(path.parent)
    except OSError as error:
        raise UserError(
            f"{option} {path}: cannot be written ({error.strerror}). Name a "
            "file in a folder where you may write."
        ) from error


def _try_out(folder: Path) -> None:
    """Write to a folder, and take back what had to be made for that.

    Permissions alone do not tell: root has all of them, in /proc too.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
        tempfile.TemporaryFile(dir=folder).close()
    finally:
        for path in reversed(made):
            path.rmdir()


def is_begun(path: Path) -> bool:
    """Whether a run wrote its options to a folder, or trained a model there.

    A file in its place counts, for the sake of what is said of that.
    """
    if path.is_dir():
        return (path / RUN_FILE).is_file() or any(path.glob("*/settings.txt"))
    return path.exists()


def check_begun(path: Path) -> None:
    """See that there is something to resume.

    Args:
        path: the folder of the run.

    Raises:
        UserError: there is nothing.
    """
    if not is_begun(path):
        raise UserError(
            f"There is nothing to resume in {path}. Look at the name, or "
            "leave out --resume."
        )


@contextlib.contextmanager
def run_folder(path: Path) -> Iterator[None]:
    """Hold a run's folder during a block: two runs there would mix.

    Args:
        path: the folder.

    Raises:
        UserError: another run holds it, or it cannot be written to.
    """
    check_folder("--run", path)
    refusal = (
        f"--run {path} is in use by another run ({{owner}}). Wait until that "
        "one ends, or give another folder with --run."
    )
    with hold(path / ".lock", refusal):
        yield


@contextlib.contextmanager
def writing(path: Path, remedy: str) -> Iterator[None]:
    """A block that writes below a path: a full disk becomes a UserError.

    Libraries name neither the file nor what to do.

    Args:
        path: what is written.
        remedy: a sentence, beside that of making room.
    """
    try:
        yield
    except Exception as error:
        reason = _full(error)
        if reason is None:
            raise
        raise UserError(
            f"{path} could not be written: {reason}. Make room there. {remedy}"
        ) from error


def _full(error: Exception) -> str | None:
    """What the system said, where it was about room; TensorFlow quotes it."""
    for number in _FULL:
        reason = os.strerror(number)
        if getattr(error, "errno", None) == number or reason in str(error):
            return reason
    return None
