"""Locks of files: the system drops those of a process that ends."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from deepfm_tf.errors import UserError


def _module(name: str) -> Any:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(name)
    return None


_FCNTL, _MSVCRT = _module("fcntl"), _module("msvcrt")  # POSIX, Windows
# Windows locks bytes, which nobody may read meanwhile: not the first ones.
_LOCKED_BYTE = 2**30


def try_lock(file: IO[Any]) -> bool | None:
    """Whether a file could be locked, without waiting.

    The lock is dropped when the file is closed, and when its process ends,
    however it ends. Process ids cannot do this: in containers that share a
    volume, several processes are number 1.

    Args:
        file: open for writing, or network file systems refuse.

    Returns:
        bool, or None where the file system has no locks.
    """
    try:
        if _FCNTL is not None:
            _FCNTL.flock(file, _FCNTL.LOCK_EX | _FCNTL.LOCK_NB)
            return True
        if _MSVCRT is not None:
            _lock_on_windows(file)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    return None


def _lock_on_windows(file: IO[Any]) -> None:
    place = file.tell()
    file.seek(_LOCKED_BYTE)
    try:
        _MSVCRT.locking(file.fileno(), _MSVCRT.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError from error
    finally:
        file.seek(place)


@contextlib.contextmanager
def hold(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of a file during a block, or raise UserError at once.

    Where the file system has no locks, nothing is refused.

    Args:
        path: the file. It is made, with its folder, and removed at the end,
            with its folder if that was made for it and nothing else is there.
            What a killed process leaves of it does no harm.
        refusal: what to say if somebody else holds it. `{owner}` in it
            becomes the name of that process.
    """
    missing = [p for p in path.parents if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, refusal) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            # Windows removes no file that is open: it stays, and harms nobody.
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)
            for folder in missing:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _locked(path: Path, refusal: str) -> IO[str]:
    while True:
        file = open(path, "a+", encoding="utf-8")
        if try_lock(file) is False:
            with file:
                file.seek(0)
                owner = file.read(200).strip() or "another process"
            raise UserError(refusal.replace("{owner}", owner))
        # Whoever held it may have removed it before it was locked here.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()
