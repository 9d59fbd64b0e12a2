"""Which files the names that a user gave stand for."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from deepfm_tf.files.formats import check_file


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
            advice = f"Name its files, e.g. '{name}/*.csv'."
            matches = [str(check_file(name, advice))]
        files += matches
    return files
