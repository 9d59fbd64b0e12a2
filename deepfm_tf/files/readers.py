"""Raw files, DataFrames and arrays, read as a stream of blocks of rows."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.content import is_json_lines, is_parquet
from deepfm_tf.files.folders import InFolders, partition_of
from deepfm_tf.files.formats import check_file
from deepfm_tf.files.frames import (
    FrameBlock,
    columns_of,
    frame_blocks,
    row_text,
)
from deepfm_tf.files.header import Wanted, check_columns
from deepfm_tf.files.json_lines import JsonBlock, json_blocks, json_keys
from deepfm_tf.files.parquet import open_parquet, parquet_tables
from deepfm_tf.files.paths import expanded
from deepfm_tf.files.text import TextBlock, header_of, text_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.files.urls import is_url, size_of

# Rows of a Parquet file, a DataFrame or arrays that make a block.
BLOCK_ROWS = 65_536
# Where in the number of a block that of its file begins.
_FILE_BITS = 32
# Files in a store whose headers are asked for at once.
_STORE_THREADS = 16

Source = Union[  # noqa: UP007
    str, Path, Sequence[Any], pd.DataFrame, pa.Table, Mapping[str, Any]
]


class TableBlock:
    """Some rows of a Parquet file."""

    unit = "row"

    def __init__(
        self, source: str, table: pa.Table, first_row: int, size: int
    ) -> None:
        self.source = source
        self.size = size
        self._table = table
        self._first_row = first_row

    def read(self, columns: Sequence[str]) -> tuple[pa.Table, list[BadRow]]:
        """The columns as they are stored."""
        return self._table.select(list(columns)), []

    def locate(self, rows: Sequence[int]) -> list[tuple[int, str]]:
        """Numbers, from 1, and texts of some rows."""
        return [
            (self._first_row + row, row_text(self._table, row)) for row in rows
        ]


Block = Union[  # noqa: UP007
    TextBlock, JsonBlock, TableBlock, FrameBlock, InFolders
]


def list_files(source: Source) -> list[str] | None:
    """The files of a source, patterns expanded; None if it is in memory."""
    if isinstance(source, (pd.DataFrame, pa.Table, Mapping)):
        return None
    if hasattr(source, "to_pandas"):
        raise UserTypeError(
            "A data source must be a file name, a list of file names, a "
            "DataFrame, an Arrow table or a dict of arrays. Received: "
            f"{type(source)}. Give its `.to_pandas()`."
        )
    items = [source] if isinstance(source, (str, Path)) else list(source)
    for item in items:
        if not isinstance(item, (str, Path)):
            raise UserTypeError(
                "A data source must be a file name, a list of file names, a "
                "DataFrame, an Arrow table or a dict of arrays. Received: "
                f"{type(item)}."
            )
    if not items:
        raise UserError(
            "A data source must name at least one file. Received: an empty "
            "list."
        )
    return expanded(items)


def list_text_files(source: Source) -> list[str]:
    """The files of a source, which must all be text."""
    files = list_files(source)
    others = ["data in memory"] if files is None else []
    for file in files or ():
        if is_parquet(file) or is_json_lines(file):
            others.append(file)
    if others:
        raise UserError(
            "The data must be text files (CSV, TSV, or those compressed). "
            f"Received: {others[0]}. Use `prepare` or `dataset_from_memory`."
        )
    return files or []


def column_names(
    source: Source, text_format: TextFormat | None = None
) -> list[str]:
    """The columns of a source (of its first file, where there are many)."""
    files = list_files(source)
    if files is None:
        if isinstance(source, pd.DataFrame):
            return [str(c) for c in source.columns]
        if isinstance(source, pa.Table):
            return list(source.column_names)
        return list(columns_of(source))
    return file_columns(files[0], text_format)


def file_columns(path: str, text_format: TextFormat | None = None) -> list[str]:
    """The columns of a file, then those that its folders' names hold.

    Of JSON lines, the keys of the first lines.
    """
    names = _own_columns(path, text_format)
    return [*names, *(n for n in partition_of(path) if n not in names)]


def folder_columns(
    source: Source, text_format: TextFormat | None = None
) -> list[str]:
    """Those columns of a source that the names of folders hold alone."""
    files = list_files(source)
    if files is None or not partition_of(files[0]):
        return []
    names = _own_columns(files[0], text_format)
    return [n for n in partition_of(files[0]) if n not in names]


def _own_columns(path: str, text_format: TextFormat | None) -> list[str]:
    if is_parquet(path):
        with open_parquet(path) as file:
            return list(file.schema_arrow.names)
    if is_json_lines(path):
        return json_keys(path)
    return header_of(path, text_format or TextFormat())


def check_headers(
    source: Source,
    columns: Wanted,
    text_format: TextFormat | None = None,
) -> None:
    """Raise UserError unless every file of a source has the columns.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        columns: the columns wanted; or column -> the option that wants it.
        text_format: layout of text files.
    """
    files = list_files(source)
    if files is None:
        check_columns(columns, column_names(source), "The data")
    layout = text_format or TextFormat()
    # A file in a store is waited for, one of this machine is not.
    workers = _STORE_THREADS if any(map(is_url, files or ())) else 1
    with ThreadPoolExecutor(workers) as pool:
        check = functools.partial(
            check_file_columns, columns=columns, text_format=layout
        )
        list(pool.map(check, files or ()))


def read_blocks(
    source: Source,
    columns: Sequence[str],
    text_format: TextFormat | None = None,
    block_bytes: int | None = None,
) -> Iterator[Block]:
    """Stream a source as blocks that can be read independently.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        columns: the columns wanted; each must be there.
        text_format: layout of text files.
        block_bytes: int or None. About how much text makes a block.
    """
    blocks = numbered_blocks(source, columns, text_format, 0, block_bytes)
    for _, block in blocks:
        yield block


def numbered_blocks(
    source: Source,
    columns: Sequence[str],
    text_format: TextFormat | None = None,
    first_file: int = 0,
    block_bytes: int | None = None,
) -> Iterator[tuple[int, Block]]:
    """The blocks of a source and their numbers, which ascend.

    A number says which file, and which block of it: it is known without
    having read the files before.

    Args:
        source, columns, text_format, block_bytes: as of `read_blocks`.
        first_file: int. The number of the first file.
    """
    files = list_files(source)
    if files is None:
        check_columns(columns, column_names(source), "The data")
        yield from enumerate(
            frame_blocks(columns_of(source), columns, BLOCK_ROWS)
        )
        return
    # Of all of them: the last may be hours away.
    check_headers(files, columns, text_format)
    for number, path in enumerate(files, first_file):
        blocks = _file_blocks(path, columns, text_format, block_bytes)
        yield from enumerate(blocks, number << _FILE_BITS)


def read_rows(
    path: str | Path,
    text_format: TextFormat | None = None,
    block_bytes: int | None = None,
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
        block_bytes: int or None. About how much text is read at a time.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a row cannot be read, or the file cannot.
    """
    name = str(check_file(path))
    if is_parquet(name):
        return parquet_tables(name, BLOCK_ROWS)
    if is_json_lines(name):
        return _json_tables(name, block_bytes)
    return _text_tables(name, text_format or TextFormat(), block_bytes)


def num_rows(path: str | Path) -> int | None:
    """The rows of a Parquet file; None for text, which must be read."""
    if not is_parquet(str(path)):
        return None
    with open_parquet(str(path)) as file:
        rows: int = file.metadata.num_rows
        return rows


def check_file_columns(
    path: str, columns: Wanted, text_format: TextFormat
) -> list[str]:
    """The columns of a file, which must have some of them, each once."""
    names = file_columns(path, text_format)
    is_text = not is_parquet(path) and not is_json_lines(path)
    check_columns(columns, names, path, text_format if is_text else None)
    return names


def _file_blocks(
    path: str,
    columns: Sequence[str],
    text_format: TextFormat | None,
    block_bytes: int | None,
) -> Iterator[Block]:
    values, own = partition_of(path), list(columns)
    if not values.keys().isdisjoint(columns):
        present = _own_columns(path, text_format)
        values = {n: v for n, v in values.items() if n not in present}
        # Of a file of which none is wanted, one tells how many rows it has.
        own = [n for n in columns if n not in values] or present[:1]
    blocks: Iterator[Any]
    if is_parquet(path):
        blocks = _parquet_blocks(path, own)
    elif is_json_lines(path):
        blocks = json_blocks(path, block_bytes)
    else:
        layout = text_format or TextFormat()
        blocks = text_blocks(path, layout, block_bytes)
    if values.keys().isdisjoint(columns):
        return blocks
    return (InFolders(block, values, own) for block in blocks)


def _parquet_blocks(path: str, columns: Sequence[str]) -> Iterator[TableBlock]:
    with open_parquet(path) as file:
        size = size_of(path) / max(1, file.metadata.num_rows)
    row = 1
    for table in parquet_tables(path, BLOCK_ROWS, columns):
        yield TableBlock(path, table, row, int(size * table.num_rows))
        row += table.num_rows


def _text_tables(
    path: str, layout: TextFormat, block_bytes: int | None
) -> Iterator[pa.Table]:
    is_empty = True
    for block in text_blocks(path, layout, block_bytes):
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


def _json_tables(path: str, block_bytes: int | None) -> Iterator[pa.Table]:
    names: dict[str, None] = {}
    for block in json_blocks(path, block_bytes):
        names.update(dict.fromkeys(block.keys()))
        table, bad = block.read(list(names), with_objects=True)
        _refuse(bad)
        for start in range(0, table.num_rows, BLOCK_ROWS):
            yield table.slice(start, BLOCK_ROWS)
