"""Files that are on the disk, whole, when a function returns."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_IS_WINDOWS = os.name == "nt"
# Windows flushes what is open for writing only, and no folder at all.
_FLAGS = os.O_RDWR if _IS_WINDOWS else os.O_RDONLY


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    if _IS_WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """`sync` a folder and all that is in it."""
    for parent, _, files in os.walk(path):
        for name in files:
            sync(Path(parent) / name)
        sync(Path(parent))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that is to take its place all or nothing.

    After a crash of the machine, too, the file is the old one or the new. If
    the block raises, it is the old one.

    Args:
        path: the file, replaced if there is one; its folder is made if need
            be.

    Yields:
        A path beside it, named `.tmp-...`, with the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two processes may write the same file at once.
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing: see `replacing`.

    Args:
        path: the file, replaced if there is one.
        text: str. Written in UTF-8.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
