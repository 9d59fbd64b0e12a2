"""Versions in a model base path: written unseen, numbered, pruned."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_PREFIX = ".tmp-"
_LOCK_FILE = "lock"
# Where nothing is locked, what has not changed for so long is left behind.
_STALE_SECONDS = 3600.0


@contextlib.contextmanager
def unpublished(directory: Path) -> Iterator[Path]:
    """A directory to write a version in, removed at the end.

    It has no number, so TensorFlow Serving does not look at it; and it is a
    sibling of the versions, so that the rename stays on one file system. What
    killed exporters left in `directory` is removed first.

    Args:
        directory: the `model_base_path`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob(f"{_PREFIX}*"):
        if path.is_dir() and _is_dead(path):
            shutil.rmtree(path, ignore_errors=True)
    temporary, lock = _locked_directory(directory)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.close()


def publish(saved_model: Path, directory: Path) -> Path:
    """Move a whole version to the next number, all at once.

    Args:
        saved_model: its files; on the disk when this returns.
        directory: the `model_base_path`.

    Returns:
        Path of the version.
    """
    _sync_tree(saved_model)
    os.chmod(saved_model, 0o755)
    version = 1 + max(_versions(directory), default=0)
    while True:
        target = directory / str(version)
        try:
            # Fails if another exporter has taken the number meanwhile.
            os.rename(saved_model, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            version += 1
            continue
        _sync(directory)
        return target


def prune(published: Path, keep_versions: int, temporary: Path) -> list[int]:
    """Remove the oldest versions beside a new one.

    Only what holds a SavedModel counts and is removed: a number without one
    may be a version that somebody else is writing.

    Args:
        published: the new version; it stays.
        keep_versions: int, at least 1. How many of the newest to leave.
        temporary: a directory of `unpublished`, where versions go first, so
            that a server never finds half of one.

    Returns:
        The numbers that were removed.
    """
    whole = {
        number: path
        for number, path in sorted(_versions(published.parent).items())
        if (path / "saved_model.pb").is_file()
    }
    removed = []
    for number in list(whole)[:-keep_versions]:
        # Newer ones may have been published meanwhile, and pruned.
        if whole[number] == published:
            continue
        with contextlib.suppress(FileNotFoundError):
            os.rename(whole[number], temporary / f"removed-{number}")
            removed.append(number)
    return removed


def _versions(directory: Path) -> dict[int, Path]:
    return {
        int(path.name): path
        for path in directory.iterdir()
        if path.name.isdecimal()
    }


def _locked_directory(directory: Path) -> tuple[Path, IO[str]]:
    """A new directory, and the file that is locked as long as it is used."""
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=directory))
        lock = open(temporary / _LOCK_FILE, "w")
        # Another exporter may have found it before it was locked, and taken
        # it for dead.
        if _lock(lock) is not False and (temporary / _LOCK_FILE).exists():
            return temporary, lock
        lock.close()


def _is_dead(temporary: Path) -> bool:
    """Whether the exporter that made the directory is gone."""
    try:
        with open(temporary / _LOCK_FILE) as lock:
            is_free = _lock(lock)
        if is_free is not None:
            return is_free
        paths = [temporary, *temporary.rglob("*")]
        last = max(path.stat().st_mtime for path in paths)
    except FileNotFoundError:
        # It is being made, or removed, by somebody else.
        return _is_old(temporary)
    return time.time() - last > _STALE_SECONDS


def _is_old(temporary: Path) -> bool:
    try:
        return time.time() - temporary.stat().st_mtime > _STALE_SECONDS
    except FileNotFoundError:
        return False


def _lock(file: IO[str]) -> bool | None:
    """Whether the file could be locked; None where there are no locks.

    The system drops the lock of a process that ends, however it ends.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sync_tree(path: Path) -> None:
    for parent, _, files in os.walk(path):
        for name in files:
            _sync(Path(parent) / name)
        _sync(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
