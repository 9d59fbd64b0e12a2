"""Files that are on the disk, whole, when a function returns."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
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


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing; its folder is made if need be.

    After a crash of the machine, too, the file holds the old text or the new.

    Args:
        path: the file, replaced if there is one.
        text: str. Written in UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two processes may write the same file at once.
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
