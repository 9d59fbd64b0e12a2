"""Which files may hold rows, told by their names."""

from __future__ import annotations

from pathlib import Path

from deepfm_tf.errors import MissingFileError, UserError, did_you_mean

FORMATS = "CSV (.csv), TSV (.tsv), Parquet (.parquet) or JSON lines (.jsonl)"
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


def format_of(path: str | Path) -> str:
    """What a file is, by its name; a ValueError lists what it may be.

    Example:

    >>> format_of("rows.tsv.gz")
    'tsv'
    """
    name = str(path).lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in _SUFFIXES:
        raise UserError(
            f"A file of rows must be {FORMATS}, the text ones gzipped or not. "
            f"Received: {path}."
        )
    return _SUFFIXES[suffix]


def check_file(path: str | Path, advice: str = "Name a file in it.") -> Path:
    """The path, if there is a file; a FileNotFoundError helps to find it.

    Args:
        path: of a file.
        advice: what to do where it is a directory.
    """
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        raise MissingFileError(f"{path} is a directory. {advice}")
    if not path.parent.is_dir():
        raise MissingFileError(
            f"There is no file {path}: the folder {path.parent} does not exist."
        )
    names = [other.name for other in path.parent.iterdir()]
    hint = did_you_mean(path.name, names, lambda name: str(path.parent / name))
    raise MissingFileError(f"There is no file {path}.{hint}")
