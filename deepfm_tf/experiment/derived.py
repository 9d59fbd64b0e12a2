"""Raw files with a recipe's own columns, made before they are prepared."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import deepfm_tf
from deepfm_tf.files.paths import expanded

if TYPE_CHECKING:
    from deepfm_tf.experiment.data_settings import DataSettings

Derive = Callable[[pd.DataFrame], pd.DataFrame]
# Of the files that are made: those of another are made anew.
_FORMAT_VERSION = 2


def check_derived(
    settings: DataSettings, derive: Derive, files: list[str], columns: list[str]
) -> None:
    """Raise UserError unless each file will have certain columns.

    Args:
        settings: the options.
        derive: what makes the columns, of a chunk of rows.
        files: of any format.
        columns: names.
    """
    for file in expanded(files):
        _check_file(settings, derive, file, columns)


def _check_file(
    settings: DataSettings, derive: Derive, file: str, columns: list[str]
) -> None:
    names = deepfm_tf.data.column_names([file], settings.text_format)
    try:
        made = derive(pd.DataFrame(columns=names, dtype=str)).columns
        absent = [repr(name) for name in columns if name not in made]
    except KeyError as error:  # one that others are made of
        absent = [str(error)]
    if absent:
        raise deepfm_tf.UserError(
            f"{file} has no column {absent[0]}. Its columns are: "
            f"{', '.join(names)}."
        )


def derived_files(
    settings: DataSettings, derive: Derive, files: list[str]
) -> list[str]:
    """The files with the recipe's own columns, as Parquet in the run.

    Rows that cannot be read or derived are refused or, with `--on-error
    skip`, left out and written to a file.

    Args:
        settings: the options.
        derive: what makes the columns, of a chunk of rows.
        files: of any format. Those that are derived already are not read
            again.
    """
    parts: list[str] = []
    for file in expanded(files):
        directory = settings.run / "derived" / _digest(settings, derive, file)
        if not directory.is_dir():
            temporary = directory.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            deepfm_tf.data.write_derived(
                file,
                temporary,
                derive,
                text_format=settings.text_format,
                on_error=settings.on_error,
            )
            temporary.rename(directory)
        rejected = directory / "rejected.csv"
        if rejected.is_file():
            count = len(pd.read_csv(rejected, usecols=["line"]))
            print(f"{file}: {count:,} rows rejected ({rejected})")
        parts += sorted(str(path) for path in directory.glob("*.parquet"))
    return parts


def _digest(settings: DataSettings, derive: Derive, file: str) -> str:
    """Of all that decides what is made of a file."""
    stat = Path(file).stat()
    # `cp -p` sets the time of the last write, but not that of the change.
    looks = (stat.st_dev, stat.st_ino, stat.st_size)
    times = (stat.st_mtime_ns, stat.st_ctime_ns)
    key = repr(
        (
            str(Path(file).resolve()),
            looks,
            times,
            _FORMAT_VERSION,
            settings.text_format,
            settings.on_error,
        )
    )
    # The whole module: what `derive` calls stands there too.
    code = Path(inspect.getfile(derive)).read_bytes()
    return hashlib.blake2b(key.encode() + code, digest_size=8).hexdigest()
