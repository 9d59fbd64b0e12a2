"""Files of rows, read block by block and written with columns added."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.raw_values import register_types
from deepfm_tf.serving.row_formats import check_file, format_of

# Rows of a block, or text that makes one: what is held at a time.
BLOCK_ROWS = 32_768
BLOCK_BYTES = 8 * 2**20

_SEPARATORS = {"csv": ",", "tsv": "\t"}


def read_rows(path: str | Path) -> Iterator[pa.Table]:
    """The rows of a file, a block at a time, in their order.

    Text files hold text: every value stays as it is written, `007` too. An
    empty one is missing. JSON and Parquet values keep their types.

    Args:
        path: a CSV or TSV file with a line of column names, gzipped or not;
            Parquet; or JSON lines, one object a line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not what its name says.
    """
    path = check_file(path)
    kind = format_of(path)
    if kind == "parquet":
        return _read_parquet(path)
    if kind == "jsonl":
        return _read_json(path)
    return _read_text(path, _SEPARATORS[kind])


def num_rows(path: str | Path) -> int | None:
    """The rows of a Parquet file; None for text, which must be read."""
    if format_of(path) != "parquet":
        return None
    return pa.parquet.read_metadata(path).num_rows


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


def _read_text(path: Path, separator: str) -> Iterator[pa.Table]:
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    try:
        names = _header(path, separator)
        reader = pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=parse,
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
        is_empty = True
        for batch in reader:
            is_empty = False
            table = pa.Table.from_batches([batch])
            for start in range(0, table.num_rows, BLOCK_ROWS):
                yield table.slice(start, BLOCK_ROWS)
        if is_empty:  # Its columns are still worth knowing.
            yield reader.schema.empty_table()
    except (
        pa.ArrowInvalid,
        OSError,
        EOFError,
        zlib.error,
        UnicodeDecodeError,
    ) as error:
        raise UserError(
            f"{path} must be a text file with a line of column names, then "
            f"as many values in each line. Received: {error}."
        ) from error


def _header(path: Path, separator: str) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file, delimiter=separator), [])
    if not names:
        raise UserError(f"{path} is empty. Write a line of column names.")
    return names


def _read_parquet(path: Path) -> Iterator[pa.Table]:
    register_types()
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BLOCK_ROWS):
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path} is not a whole Parquet file ({error}). Fetch or write it "
            "again."
        ) from error


def _read_json(path: Path) -> Iterator[pa.Table]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            names: dict[str, None] = {}
            rows: list[dict[str, Any]] = []
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                rows.append(_json_row(path, number, line))
                names.update(dict.fromkeys(rows[-1]))
                if len(rows) == BLOCK_ROWS:
                    yield _json_table(names, rows)
                    rows = []
            if rows:
                yield _json_table(names, rows)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} must be UTF-8 text with a JSON object in each line. "
            f"Received: {error}."
        ) from error


def _json_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {number}: {error}. Each line must be a JSON object."
        ) from error
    if not isinstance(row, dict):
        raise UserError(
            f"{path}, line {number}: each line must be a JSON object. "
            f"Received: {line.strip()[:60]}."
        )
    return row


def _json_table(
    names: dict[str, None], rows: Sequence[dict[str, Any]]
) -> pa.Table:
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            # 7 beside "seven", or more digits than 64 bits hold: a column
            # of names, as they are written.
            columns[name] = pa.array(
                [v if v is None else str(v) for v in values], pa.string()
            )
    return pa.table(columns)


def _text_writer(file: IO[str], kind: str) -> Callable[[pa.Table], None]:
    header: list[str] = []
    writer = csv.writer(
        file, delimiter=_SEPARATORS.get(kind, ","), lineterminator="\n"
    )

    def write(table: pa.Table) -> None:
        if kind == "jsonl":
            for row in _without_nan(table).to_pylist():
                line = json.dumps(row, ensure_ascii=False, default=str)
                file.write(f"{line}\n")
            return
        if not header:
            header.extend(table.column_names)
            writer.writerow(header)
        _check_no_new_columns(header, table)
        columns = [_written(column) for column in table.columns]
        writer.writerows(zip(*columns, strict=True))

    return write


def _written(column: pa.ChunkedArray) -> list:
    if pa.types.is_floating(column.type):
        # The fewest digits that give the number back, also for float32.
        column = pc.cast(column, pa.string())
    elif pa.types.is_binary(column.type):
        column = pc.cast(column, pa.string())
    return column.to_pylist()


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
