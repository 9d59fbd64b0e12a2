"""Versions in a model base path: written unseen, numbered, pruned."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from deepfm_tf.storage import sync, sync_tree, unpublished as unpublished_folder

_PREFIX = ".tmp-"


def unpublished(directory: Path) -> contextlib.AbstractContextManager[Path]:
    """A directory to write a version in, removed at the end.

    It has no number, so TensorFlow Serving does not look at it; and it is a
    sibling of the versions, so that the rename stays on one file system. What
    killed exporters left in `directory` is removed first.

    Args:
        directory: the `model_base_path`.
    """
    return unpublished_folder(directory, _PREFIX)


def publish(saved_model: Path, directory: Path) -> Path:
    """Move a whole version to the next number, all at once.

    Args:
        saved_model: its files; on the disk when this returns.
        directory: the `model_base_path`.

    Returns:
        Path of the version.
    """
    sync_tree(saved_model)
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
        sync(directory)
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
