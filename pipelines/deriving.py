"""Raw files with a recipe's own columns, made before they are prepared."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import deepfm_tf

if TYPE_CHECKING:
    from pipelines.experiment import Settings

# Rows that are derived at a time.
_CHUNK_ROWS = 500_000


def derived_files(
    settings: Settings,
    derive: Callable[[pd.DataFrame], pd.DataFrame],
    files: list[str],
) -> list[str]:
    """The files with the recipe's own columns, as Parquet in the run.

    Args:
        settings: the options.
        derive: what makes the columns, of a chunk of rows.
        files: CSV files. Those that are derived already are not read again.
    """
    names = settings.text_format.column_names
    parts: list[str] = []
    for file in files:
        if not Path(file).is_file():
            raise deepfm_tf.UserError(f"There is no file {file}.")
        stat = Path(file).stat()
        # `cp -p` sets the time of the last write, but not that of the change.
        looks = (stat.st_dev, stat.st_ino, stat.st_size)
        times = (stat.st_mtime_ns, stat.st_ctime_ns)
        key = repr((str(Path(file).resolve()), looks, times, names))
        digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        directory = settings.run / "derived" / digest
        if not directory.is_dir():
            temporary = directory.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            chunks = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                names=names,
                chunksize=_CHUNK_ROWS,
            )
            try:
                for number, chunk in enumerate(chunks):
                    name = f"{number:05d}.parquet"
                    derive(chunk).to_parquet(temporary / name)
            except (pd.errors.ParserError, UnicodeDecodeError) as error:
                raise deepfm_tf.UserError(
                    f"{file} must be CSV in UTF-8. pandas says: {error}. Fix "
                    "or convert the file."
                ) from error
            temporary.rename(directory)
        parts += sorted(str(path) for path in directory.glob("*.parquet"))
    return parts
