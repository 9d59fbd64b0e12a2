"""Which files the names that a user gave stand for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from deepfm_tf.errors import MissingFileError
from deepfm_tf.files.folders import FoundFile, is_hidden, pattern_of
from deepfm_tf.files.formats import check_file
from deepfm_tf.files.urls import files_at, is_url, local_name


def expanded(names: Iterable[str | Path]) -> list[str]:
    """The files of some names: folders and patterns opened.

    Args:
        names: paths or URLs of files, of folders of files, or patterns such
            as `day-*.csv`. In a folder, what begins with `_` or `.` is left
            out.

    Raises:
        MissingFileError: there is no such file; with a guess.
    """
    files: list[str] = []
    for given in names:
        if isinstance(given, FoundFile):
            if not is_url(given):
                check_file(given)
            files.append(given)
            continue
        name = local_name(given)
        if is_url(name):
            files += files_at(name)
            continue
        if Path(name).is_file():
            files.append(name)
            continue
        matches = sorted(glob.glob(name))
        if not matches:
            check_file(name)
        found = [match for match in matches if Path(match).is_file()]
        if not found:
            found = [file for match in matches for file in _files_below(match)]
        if not found:
            raise MissingFileError(
                f"There is no file in {name}: the folder is empty, or holds "
                "only files whose names begin with _ or a dot. Name one with "
                "data."
            )
        # The folder itself, or that above the first sign.
        root = name if Path(name).is_dir() else pattern_of(name)[1]
        files += [FoundFile(f, os.path.relpath(f, root or ".")) for f in found]
    return files


def absolute(name: str) -> str:
    """The name of a file for those who are in another folder."""
    if is_url(name):
        return name
    path = os.path.abspath(name)
    return FoundFile(path, name.below) if isinstance(name, FoundFile) else path


def _files_below(path: str) -> list[str]:
    """All files in a folder and in those in it, sorted."""
    files = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if not is_hidden(os.path.relpath(os.path.join(folder, name), path))
    ]
    return sorted(files)
