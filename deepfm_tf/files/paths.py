"""Which files the names that a user gave stand for."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterable
from pathlib import Path

from deepfm_tf.errors import MissingFileError


def expanded(names: Iterable[str | Path]) -> list[str]:
    """The files of some names, patterns expanded.

    Args:
        names: of files, or patterns such as `day-*.csv`.

    Raises:
        MissingFileError: there is no such file; with a guess.
    """
    files: list[str] = []
    for name in map(str, names):
        matches = [name] if Path(name).is_file() else sorted(glob.glob(name))
        matches = [match for match in matches if Path(match).is_file()]
        if not matches:
            raise MissingFileError(_not_found(name))
        files += matches
    return files


def _not_found(path: str) -> str:
    if Path(path).is_dir():
        return f"{path} is a directory. Name its files, e.g. '{path}/*.csv'."
    folder = Path(path).parent
    if not folder.is_dir():
        return f"There is no file {path}: the folder {folder} does not exist."
    near = difflib.get_close_matches(
        Path(path).name, [p.name for p in folder.iterdir()], n=1
    )
    hint = f" Did you mean {folder / near[0]}?" if near else ""
    return f"There is no file {path}.{hint}"
