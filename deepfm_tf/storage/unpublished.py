"""Folders that are written unseen, and then renamed to what they are."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from deepfm_tf.storage.locks import try_lock

_LOCK_FILE = "lock"
# Where nothing is locked, what has not changed for so long is left behind.
_STALE_SECONDS = 3600.0


@contextlib.contextmanager
def unpublished(parent: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """A folder to write in, removed at the end.

    Write a folder inside it, and rename that one to its place: both are on
    one file system. What killed processes left in `parent`, with the same
    prefix and suffix, is removed first.

    Args:
        parent: where it is made.
        prefix: of its name.
        suffix: of its name.
    """
    parent.mkdir(parents=True, exist_ok=True)
    # A prefix may hold any character of a file name: no pattern of a shell.
    name = re.compile(re.escape(prefix) + "[a-z0-9_]+" + re.escape(suffix))
    for path in parent.iterdir():
        if name.fullmatch(path.name) and path.is_dir():
            _remove_if_dead(path)
    temporary, lock = _locked_folder(parent, prefix, suffix)
    with lock:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if temporary.exists():  # Windows removes no file that is open
        shutil.rmtree(temporary, ignore_errors=True)


def _locked_folder(
    parent: Path, prefix: str, suffix: str
) -> tuple[Path, IO[str]]:
    """A new folder, and the file that is locked as long as it is used."""
    while True:
        temporary = Path(tempfile.mkdtemp(suffix, prefix, parent))
        try:
            lock = open(temporary / _LOCK_FILE, "w")
        except FileNotFoundError:
            # Another process has taken it for an old one, by a wrong clock.
            continue
        # Another process may have found it before it was locked, and taken
        # it for dead: then that one holds the lock until all is removed.
        if try_lock(lock) is not False and (temporary / _LOCK_FILE).exists():
            return temporary, lock
        lock.close()


def _remove_if_dead(temporary: Path) -> None:
    """Remove a folder, unless the process that made it is at work."""
    try:
        # Not for reading alone, which network file systems do not lock.
        with open(temporary / _LOCK_FILE, "r+") as lock:
            is_locked = try_lock(lock)
            if is_locked or (is_locked is None and _is_old(temporary)):
                # While the lock is held: its owner may be about to take it.
                shutil.rmtree(temporary, ignore_errors=True)
    except FileNotFoundError:
        # It is being made, or removed, by somebody else; or was left so.
        if _is_old(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
    except PermissionError:
        return  # somebody else's


def _is_old(temporary: Path) -> bool:
    try:
        paths = [temporary, *temporary.rglob("*")]
        last = max(path.stat().st_mtime for path in paths)
    except FileNotFoundError:
        return False
    return time.time() - last > _STALE_SECONDS
