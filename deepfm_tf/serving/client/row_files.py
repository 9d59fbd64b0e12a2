"""Files of rows, read block by block and written with columns added."""

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
from deepfm_tf.files.content import is_json_lines, is_parquet
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.files.json_lines import json_blocks
from deepfm_tf.files.parquet import open_parquet, parquet_tables
from deepfm_tf.files.text import (
    BadRow,
    TextBlock,
    TextFormat,
    header_of,
    text_blocks,
)
from deepfm_tf.raw_values import (
    Bad,
    NoTextError,
    is_elements,
    shown_elements,
    to_text,
    to_texts,
)
from deepfm_tf.serving.client.row_formats import check_file

# Rows of a block, or text that makes one: what is held at a time.
BLOCK_ROWS = 32_768
BLOCK_BYTES = 8 * 2**20

_SEPARATORS = {"csv": ",", "tsv": "\t"}


def read_rows(
    path: str | Path, text_format: TextFormat | None = None
) -> Iterator[pa.Table]:
    """The rows of a file, a block at a time, in their order.

    Files are read as training reads them. Text files hold text: every value
    stays as it is written, `007` too. An empty one is missing. JSON and
    Parquet values keep their types.

    Args:
        path: text, compressed or not; Parquet; or JSON lines, one object a
            line.
        text_format: layout of text. Defaults to a line of column names, and
            the separator that the file name suggests.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a row cannot be read, or the file cannot.
    """
    name = str(check_file(path))
    if is_parquet(name):
        return parquet_tables(name, BLOCK_ROWS)
    if is_json_lines(name):
        return _read_json(name)
    return _read_text(name, text_format or TextFormat())


def num_rows(path: str | Path) -> int | None:
    """The rows of a Parquet file; None for text, which must be read."""
    if not is_parquet(str(path)):
        return None
    with open_parquet(str(path)) as file:
        return file.metadata.num_rows


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


def _read_text(path: str, layout: TextFormat) -> Iterator[pa.Table]:
    is_empty = True
    for block in text_blocks(path, layout, BLOCK_BYTES):
        cells, bad = block.read_all()
        _refuse(bad)
        table = _to_text(block, cells)
        for start in range(0, table.num_rows, BLOCK_ROWS):
            is_empty = False
            yield table.slice(start, BLOCK_ROWS)
    if is_empty:  # Its columns are still worth knowing.
        names = header_of(path, layout)
        nothing = pa.array([], pa.string())
        yield pa.table([nothing] * len(names), names=names)


def _to_text(block: TextBlock, cells: pa.Table) -> pa.Table:
    """Dictionaries of bytes as text."""
    columns = []
    for name, column in zip(cells.column_names, cells.columns, strict=True):
        try:
            columns.append(
                pa.chunked_array(
                    [
                        pc.cast(chunk.dictionary, pa.string()).take(
                            chunk.indices
                        )
                        for chunk in column.chunks
                    ],
                    pa.string(),
                )
            )
        except pa.ArrowInvalid as error:
            ((line, _),) = block.locate([_not_utf8(column)])
            raise UserError(
                f"{block.source}, line {line}, column '{name}': the text is "
                "not UTF-8. Convert the file to UTF-8."
            ) from error
    return pa.table(columns, names=cells.column_names)


def _not_utf8(column: pa.ChunkedArray) -> int:
    """The first row whose bytes are not UTF-8 text."""
    values = column.to_pylist()
    return next(
        row
        for row, value in enumerate(values)
        if value.decode("utf-8", errors="ignore").encode() != value
    )


def _refuse(bad: Sequence[BadRow]) -> None:
    """All rows are asked for: none can be left out."""
    if bad:
        raise UserError(f"{bad[0]} Fix the row.")


def _read_json(path: str) -> Iterator[pa.Table]:
    names: dict[str, None] = {}
    for block in json_blocks(path, BLOCK_BYTES):
        names.update(dict.fromkeys(block.keys()))
        table, bad = block.read(list(names), with_objects=True)
        _refuse(bad)
        for start in range(0, table.num_rows, BLOCK_ROWS):
            yield table.slice(start, BLOCK_ROWS)


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


def _written(column: pa.ChunkedArray, name: str) -> list:
    """The texts of a column, as training reads its values."""
    bad: Bad = {}
    try:
        texts = to_texts(to_arrow(column, name), name, bad, separator="|")
    except UserError:  # such as structs, which no field reads
        return column.to_pylist()
    values = texts.to_pylist()
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
