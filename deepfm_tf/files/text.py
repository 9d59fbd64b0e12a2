"""Text files (CSV, TSV, compressed or not) as blocks of whole records."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from deepfm_tf.arrays import Array
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.content import TextContent
from deepfm_tf.files.header import HEADER_BYTES, header_names
from deepfm_tf.files.records import Records, RecordScanner, count_lines
from deepfm_tf.files.text_format import TextFormat

# What one worker holds of a text file at a time.
BLOCK_BYTES = 16 * 2**20
# A quoted value may span lines, up to this many blocks.
_LONGEST_RECORD_BLOCKS = 4
_ESCAPED = (
    'The text has \\" in it, but a quote inside a value must be written ""'
)
_CELLS = pa.dictionary(pa.int32(), pa.binary())
# What Arrow parses at a time: what stays in a processor's cache takes half as
# long as a block as a whole.
PARSED_BYTES = 2**20


class TextBlock:
    """Some whole records of a text file."""

    unit = "line"

    def __init__(
        self,
        path: str,
        data: bytes,
        first_line: int,
        column_names: Sequence[str],
        text_format: TextFormat,
    ) -> None:
        self.source = path
        self.size = len(data)
        self.data = data
        self.first_line = first_line
        self._column_names = column_names
        self._scanner = text_format.scanner_of(path)
        self._left_out: Array = np.zeros(0, dtype=np.int64)

    def read(self, columns: Sequence[str]) -> tuple[pa.Table, list[BadRow]]:
        """The columns as text, and the rows that have too few or too many."""
        places = [list(self._column_names).index(name) for name in columns]
        table, bad = self._parse(places)
        return table.rename_columns(list(columns)), bad

    def read_all(self) -> tuple[pa.Table, list[BadRow]]:
        """All columns, also those that share a name."""
        table, bad = self._parse(range(len(self._column_names)))
        return table.rename_columns(list(self._column_names)), bad

    def locate(self, rows: Sequence[int]) -> list[tuple[int, str]]:
        """Line and text of rows of the table that was read last."""
        if not len(rows):
            return []
        if not len(self._left_out):
            return self._places(np.asarray(rows))
        numbers = np.arange(len(self._records.starts))
        kept = np.delete(numbers, self._left_out)
        return self._places(kept[list(rows)])

    @functools.cached_property
    def _records(self) -> Records:
        # Only for what is said of bad rows; pyarrow does the parsing.
        return self._scanner.records(self.data)

    def _parse(self, places: Sequence[int]) -> tuple[pa.Table, list[BadRow]]:
        scanner = self._scanner
        invalid: list[Any] = []
        data = scanner.without_blanks(self.data)
        if not data[:1].strip(b"\r\n") and not data.strip(b"\r\n"):
            empty = pa.array([], _CELLS)
            return pa.table({str(place): empty for place in places}), []
        if data.startswith(codecs.BOM_UTF8):
            # pyarrow drops the first one, and this one belongs to a value.
            data = codecs.BOM_UTF8 + data
        table = self._parse_csv(data, places, invalid)
        bad = {
            row.number - 1: f"{row.expected_columns} values expected, "
            f"{row.actual_columns} found"
            for row in invalid
        }
        escaped = self._escaped() - bad.keys()
        if escaped:
            numbers = np.arange(table.num_rows + len(bad))
            kept = np.delete(numbers, list(bad))
            is_good = ~np.isin(kept, list(escaped))
            table = table.filter(pa.array(is_good))
            bad |= dict.fromkeys(escaped, _ESCAPED)
        self._left_out = np.array(sorted(bad), dtype=np.int64)
        return table, self._bad_rows(bad) if bad else []

    def _bad_rows(self, reasons: dict[int, str]) -> list[BadRow]:
        """What is wrong with which records."""
        numbers = sorted(reasons)
        places = self._places(np.array(numbers))
        rows = []
        for number, (line, text) in zip(numbers, places, strict=True):
            reason = reasons[number]
            if reason != _ESCAPED:
                reason += self._likely_cause(text)
            rows.append(BadRow(self.source, line, "", "", reason, text))
        return rows

    def _parse_csv(
        self, data: bytes, places: Sequence[int], invalid: list[Any]
    ) -> pa.Table:
        """The columns; `invalid` gets the rows of another length."""

        def parse(block_size: int) -> pa.Table:
            invalid.clear()
            # Bytes first: text that is not UTF-8 is then found cell by cell.
            return pa.csv.read_csv(
                pa.BufferReader(data),
                read_options=pa.csv.ReadOptions(
                    use_threads=False,
                    # Numbers, because columns that nobody reads may share
                    # a name.
                    column_names=[
                        str(n) for n in range(len(self._column_names))
                    ],
                    block_size=block_size,
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self._scanner.separator,
                    quote_char='"' if self._scanner.quoting else False,
                    newlines_in_values=self._scanner.quoting,
                    invalid_row_handler=skip,
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types={str(place): pa.binary() for place in places},
                    include_columns=[str(place) for place in places],
                    strings_can_be_null=False,
                ),
            )

        def skip(row: Any) -> str:
            invalid.append(row)
            return "skip"

        try:
            try:
                table = parse(PARSED_BYTES)
            except pa.ArrowInvalid:
                table = parse(len(data) + 1)  # a record longer than that
        except pa.ArrowInvalid as error:
            raise UserError(
                f"{self.source}, from line {self.first_line} on: the text "
                f"cannot be parsed ({error})."
            ) from error
        # Each distinct value is kept, and looked at, once.
        cells = [
            column.combine_chunks().dictionary_encode()
            for column in table.columns
        ]
        return pa.table(cells, names=table.column_names)

    def _likely_cause(self, text: str) -> str:
        """Why a row has too few or too many values."""
        if self._scanner.quoting and '\\"' in text:
            return f". {_ESCAPED}"
        if self._scanner.quoting and "\n" in text:
            return (
                f", in {text.count(chr(10)) + 1} lines: a value that begins "
                'with a " goes on in the next one. Is its end missing?'
            )
        return (
            ". Is the line cut off, or is a separator or a quote inside a "
            "value?"
        )

    def _escaped(self) -> set[int]:
        """Records where `\\"` closes a value that goes on behind it."""
        places = self._scanner.backslashes(self.data)
        if not len(places):
            return set()
        starts = self._records.starts
        numbers = np.searchsorted(starts, places, side="right") - 1
        return set(numbers.tolist())

    def _places(self, numbers: Array) -> list[tuple[int, str]]:
        """Line and text of some records."""
        records = self._records
        lines = (records.lines[numbers] + self.first_line).tolist()
        starts = records.starts[numbers].tolist()
        stops = records.stops[numbers].tolist()
        return [
            (line, self.data[start:stop].decode("utf-8", errors="replace"))
            for line, start, stop in zip(lines, starts, stops, strict=True)
        ]


def text_blocks(
    path: str, text_format: TextFormat, block_bytes: int | None = None
) -> Iterator[TextBlock]:
    """A text file, block by block.

    Args:
        path: the file.
        text_format: its layout.
        block_bytes: int or None. About how much text makes a block; the rows
            are the same for any.

    Raises:
        ValueError: a quote that is open at the end of the file or too far
            on, or a line without end. What the rows behind it are cannot be
            known, so they are not read with `on_error="skip"` either.
    """
    block_bytes = block_bytes or BLOCK_BYTES
    longest = _LONGEST_RECORD_BLOCKS * BLOCK_BYTES
    scanner = text_format.scanner_of(path)
    with TextContent(path) as content:
        names, data, line = _read_header(path, content, text_format, longest)
        while True:
            # Twice as much each time that no record ends: linear in all.
            size = max(block_bytes, min(len(data), longest + 1 - len(data)))
            chunk = content.read(size)
            data += chunk
            if len(data) > longest:
                _check_length(path, data, line, scanner, longest)
            if len(chunk) < size:
                break
            end = scanner.last_end(data)
            if end:
                yield TextBlock(path, data[:end], line, names, text_format)
                line += count_lines(data, end)
                data = data[end:]
        if data.strip(b"\r\n"):
            _check_closed(path, data, line, scanner)
            yield TextBlock(path, data, line, names, text_format)


def header_of(path: str, text_format: TextFormat) -> list[str]:
    """The column names of a text file."""
    if text_format.column_names is not None:
        return list(text_format.column_names)
    longest = _LONGEST_RECORD_BLOCKS * BLOCK_BYTES
    with TextContent(path) as content:
        return _read_header(path, content, text_format, longest)[0]


def _check_length(
    path: str, data: bytes, line: int, scanner: RecordScanner, longest: int
) -> None:
    """Refuse a first record of more than `longest` bytes."""
    if 0 < scanner.first_end(data) <= longest:
        return
    _check_closed(path, data[:longest].rstrip(b'"'), line, scanner, longest)
    raise UserError(
        f"{path}, line {line}: a line must be shorter than {longest:,} bytes. "
        "Is the file text, with line breaks?"
    )


def _check_closed(
    path: str,
    data: bytes,
    line: int,
    scanner: RecordScanner,
    longest: int | None = None,
) -> None:
    """Refuse a quote that is open at the end of the file, or too far on."""
    place = scanner.open_quote(data, len(data))
    if place < 0:
        return
    line += count_lines(data, place)
    end = f"within {longest:,} bytes" if longest else "in the rest of the file"
    escaped = f" {_ESCAPED}." if b'\\"' in data else ""
    raise UserError(
        f'{path}, line {line}: a quote (") opens a value and is not closed '
        f"{end}.{escaped} Close it; or, if quotes are ordinary characters in "
        "this file, set TextFormat(quoting=False) (--no-quoting)."
    )


def _read_header(
    path: str, content: TextContent, text_format: TextFormat, longest: int
) -> tuple[list[str], bytes, int]:
    """Column names, the bytes after the header line, and their line number."""
    if text_format.column_names is not None:
        return list(text_format.column_names), b"", 1
    scanner = text_format.scanner_of(path)
    data, end = b"", 0
    # Behind a "\r" at the end, a "\n" may follow.
    while not end or end == len(data):
        size = max(HEADER_BYTES, len(data))
        chunk = content.read(size)
        data += chunk
        end = scanner.first_end(data)
        if len(chunk) < size:
            break
        if not end and len(data) > longest:
            _check_length(path, data, 1, scanner, longest)
    if not end:
        _check_closed(path, data, 1, scanner)
        end = len(data)
    header = data[:end]
    if not header:
        raise UserError(f"{path} is empty. Write a line of column names.")
    if not header.strip():
        raise UserError(
            f"{path} must begin with a line of column names, but its first "
            "line is empty. If it has no such line, give the names yourself (",
            Argument("column_names"),
            ").",
        )
    if b"\0" in header:
        raise UserError(
            f"{path} must be text, but its first line has zero bytes. Is it "
            "UTF-16 without a byte order mark, an archive or another binary "
            "file? Convert it to UTF-8 text."
        )
    names = header_names(path, header, text_format)
    return names, data[end:], 1 + count_lines(data, end)
