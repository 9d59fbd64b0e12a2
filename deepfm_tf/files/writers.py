"""Tables to files of rows, one after the other; whole files or none."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.files.readers import BLOCK_ROWS
from deepfm_tf.raw_values import (
    Bad,
    NoTextError,
    is_elements,
    shown_elements,
    to_text,
    to_texts,
)

_SEPARATORS = {"csv": ",", "tsv": "\t"}


@contextlib.contextmanager
def row_writer(
    path: str | Path | None, kind: str
) -> Iterator[Callable[[pa.Table], None]]:
    """Write tables one after the other, to a file or to standard output.

    The file appears when all is written, in place of an older one; on an
    error, or Ctrl-C, it does not.

    Args:
        path: the file, or None for standard output.
        kind: str. As `format_of` says.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    if path is None:
        named = _named("Standard output")
        yield named(_text_writer(sys.stdout, kind))
        named(sys.stdout.flush)()
        return
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise MissingFileError(
            f"{path} cannot be written: the folder {path.parent} does not "
            "exist."
        )
    handle, temporary = tempfile.mkstemp(
        prefix=f".{path.name}.", dir=path.absolute().parent
    )
    os.close(handle)
    try:
        with contextlib.ExitStack() as stack:
            if kind == "parquet":
                write = _parquet_writer(temporary, stack)
            else:
                opener = gzip.open if path.suffix == ".gz" else open
                file = opener(temporary, "wt", encoding="utf-8", newline="")
                write = _text_writer(stack.enter_context(file), kind)
            try:
                yield _named(path)(write)
            except BaseException:
                with contextlib.suppress(OSError):  # the second of its kind
                    stack.close()
                raise
            with _named(path):
                stack.close()
                with open(temporary, "rb") as written:
                    os.fsync(written.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


@contextlib.contextmanager
def _named(what: str | Path) -> Iterator[None]:
    """Tell what could not be written: the system says only why."""
    try:
        yield
    except BrokenPipeError:  # no mistake, and told apart by its type
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{what} cannot be written: {reason}.") from error


def _text_writer(file: IO[str], kind: str) -> Callable[[pa.Table], None]:
    header: list[str] = []
    writer = csv.writer(
        file, delimiter=_SEPARATORS.get(kind, ","), lineterminator="\n"
    )

    def write(table: pa.Table) -> None:
        table = _with_texts(table)
        if kind == "jsonl":
            for row in _without_nan(table).to_pylist():
                line = json.dumps(row, ensure_ascii=False, default=_json_value)
                file.write(f"{line}\n")
            return
        if not header:
            header.extend(table.column_names)
            writer.writerow(header)
        _check_no_new_columns(header, table)
        columns = [
            _written(column, name)
            for name, column in zip(
                table.column_names, table.columns, strict=True
            )
        ]
        writer.writerows(zip(*columns, strict=True))

    return write


def _written(column: pa.ChunkedArray, name: str) -> list[Any]:
    """The texts of a column, as training reads its values."""
    bad: Bad = {}
    try:
        texts = to_texts(to_arrow(column, name), name, bad, separator="|")
    except UserError:  # such as structs, which no field reads
        texts = column
    values: list[Any] = texts.to_pylist()
    for row, (_, value, _) in bad.items():
        values[row] = value
    return values


def _json_value(value: Any) -> str:
    """What JSON has no type for, as text."""
    try:
        return to_text(value) or ""
    except NoTextError:
        return str(value)


def _with_texts(table: pa.Table) -> pa.Table:
    """Objects of several types as they are shown, also those without text."""
    for number, field in enumerate(table.schema):
        if is_elements(field.type):
            column = to_arrow(table.column(number), field.name)
            texts = shown_elements(column)
            table = table.set_column(number, field.name, texts)
    return table


def _without_nan(table: pa.Table) -> pa.Table:
    """JSON has no NaN."""
    for number, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(number)
            column = pc.if_else(pc.is_nan(column), None, column)
            table = table.set_column(number, field.name, column)
    return table


def _parquet_writer(
    path: str, stack: contextlib.ExitStack
) -> Callable[[pa.Table], None]:
    writers: list[pa.parquet.ParquetWriter] = []

    def write(table: pa.Table) -> None:
        table = _with_texts(table)
        if not writers:
            writer = pa.parquet.ParquetWriter(path, table.schema)
            writers.append(stack.enter_context(writer))
        schema = writers[0].schema
        _check_no_new_columns(schema.names, table)
        try:
            table = table.cast(schema)
        except pa.ArrowException as error:
            raise UserError(
                "The values of a column must be of one type for Parquet, in "
                f"all rows. Received: {error}. Write CSV or JSON lines "
                "(.jsonl)."
            ) from error
        writers[0].write_table(table)

    return write


def _check_no_new_columns(names: Sequence[str], table: pa.Table) -> None:
    """A header, once written, cannot grow; only JSON lines can."""
    new = [name for name in table.column_names if name not in names]
    if new:
        raise UserError(
            f"The first {BLOCK_ROWS} rows must have every key for CSV, TSV "
            f"or Parquet. Received: later rows with {', '.join(new)}. Give "
            "the first row these keys, as null, or write JSON lines (.jsonl)."
        )
