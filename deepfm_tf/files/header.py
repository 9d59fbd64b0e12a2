"""The columns that a file begins with, and whether those wanted are there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from deepfm_tf.errors import UserError, did_you_mean
from deepfm_tf.files.content import TextContent, is_json_lines, is_parquet
from deepfm_tf.files.folders import partition_of
from deepfm_tf.files.text_format import TextFormat

# What is read at first for a line of column names.
HEADER_BYTES = 2**16
_MOST_SHOWN = 20


# Columns; where options name them, those, which errors then begin with.
Wanted = Sequence[str] | Mapping[str, str]


def check_plain_headers(
    files: Iterable[str], columns: Wanted, text_format: TextFormat
) -> None:
    """Raise UserError unless files have columns, where that is told at once.

    It needs neither numpy nor Arrow, which take a second to import. So it says
    nothing of Parquet, JSON lines and names in quotes: `readers.check_headers`
    does.

    Args:
        files: names of files that are there.
        columns: the columns wanted.
        text_format: layout of text files.
    """
    for path in files:
        names = _plain_names(path, text_format)
        if names is not None:
            folders = partition_of(path)
            names = [*names, *(n for n in folders if n not in names)]
            check_columns(columns, names, path, text_format)


def check_columns(
    wanted: Wanted,
    present: Sequence[str],
    source: str,
    text_format: TextFormat | None = None,
) -> None:
    """Raise UserError unless columns are there, each once.

    Args:
        wanted: names; or name -> the option that wants it.
        present: those that there are.
        source: str. What is to have them.
        text_format: layout, of a text file.
    """
    # One that is wanted itself is not what was meant for another.
    others = [name for name in present if name not in wanted]
    for name in wanted:
        option = wanted[name] if isinstance(wanted, Mapping) else ""
        before = f"{option}: " if option else ""
        count = list(present).count(name)
        if count > 1:
            raise UserError(
                f"{before}{source} has {count} columns named '{name}'. Rename "
                "all but one."
            )
        if name in present:
            continue
        hint = did_you_mean(name, others)
        absent = [n for n in wanted if n not in present and n != name]
        if absent and not option:
            hint += f" It also lacks {_shown(absent)}."
        if others and len(wanted) > 1 and not option:
            hint += f" Unused columns of it: {_shown(others)}."
        if f"/{name}=" in f"/{source}":
            hint = (
                f" A folder in its path is called '{name}=...'. To use that "
                "as a column, name the folder above it, or a pattern in "
                "quotes."
            )
        if text_format is not None and len(present) == 1:
            separator = text_format.separator_of(source)[0]
            hint = f" The file was split at {separator!r}: set the separator."
        if text_format is not None and present[0].lstrip()[:1] in ("{", "["):
            hint = (
                " Is it a file of JSON lines? Then its name must end in .jsonl."
            )
        elif text_format is not None and any(map(_is_number, present)):
            hint += (
                " If its first line is data, name the columns yourself: "
                "`column_names` (--no-header --columns A,B,C)."
            )
        raise UserError(
            f"{before}{source} has no column '{name}'.{hint} Its columns are: "
            f"{_shown(present)}."
        )


def header_names(
    path: str, header: bytes, text_format: TextFormat
) -> list[str]:
    """The column names that a line says.

    Args:
        path: str. The file.
        header: its first line.
        text_format: its layout.
    """
    text = header.decode("utf-8", errors="replace").rstrip("\r\n")
    separator, trims = text_format.separator_of(path)
    try:
        return next(
            csv.reader(
                io.StringIO(text, newline=""),
                delimiter=separator,
                quoting=csv.QUOTE_MINIMAL
                if text_format.quoting
                else csv.QUOTE_NONE,
                skipinitialspace=trims,
            )
        )
    except csv.Error as error:
        raise UserError(
            f"{path} must begin with a line of column names. Received: a "
            f"first line of {len(header):,} bytes that cannot be read "
            f"({error}). Is the file text, with line breaks?"
        ) from error


def _is_number(name: str) -> bool:
    return name.strip().replace(".", "", 1).isdecimal()


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _MOST_SHOWN
    listed = ", ".join(map(repr, names[:_MOST_SHOWN]))
    return f"{listed} and {more} more" if more > 0 else listed


def _plain_names(path: str, text_format: TextFormat) -> list[str] | None:
    """The names in a first line that certainly ends where it seems to."""
    if is_parquet(path) or is_json_lines(path):
        return None
    if text_format.column_names is not None:
        return list(text_format.column_names)
    with TextContent(path) as content:
        data = content.read(HEADER_BYTES).replace(b"\r\n", b"\n")
    header, line_break, _ = data.partition(b"\n")
    is_quoted = text_format.quoting and b'"' in header
    is_odd = b"\r" in header or b"\0" in header or not header.strip()
    if not line_break or is_quoted or is_odd:
        return None
    return header_names(path, header, text_format)
