"""Text files (CSV, TSV, gzipped or not) as blocks of whole lines."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from deepfm_tf.errors import Argument, UserError

# What one worker holds of a text file at a time.
BLOCK_BYTES = 16 * 2**20
# A quoted value may span lines, up to this many blocks.
_LONGEST_RECORD_BLOCKS = 4
# Each distinct value of a block is kept, and looked at, once.
_CELLS = pa.dictionary(pa.int32(), pa.binary())


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """How a text file is laid out; Parquet and DataFrames need none of it.

    Args:
        separator: str or None. One character, which blanks may follow: with
            `", "` the blanks after each comma are not part of the value.
            `None` takes a tab for `.tsv` and `.tab`, else a comma.
        column_names: names of all columns, in order, for a file without a
            header line. `None` reads them from the first line.
        quoting: bool. Whether `"` may enclose a value.

    Example:

    >>> TextFormat(separator="\\t", column_names=("clicked", "site")).quoting
    True
    """

    separator: str | None = None
    column_names: tuple[str, ...] | None = None
    quoting: bool = True

    def __post_init__(self) -> None:
        separator = self.separator
        if separator is not None and (
            len(separator.rstrip(" ") or separator[:1]) != 1
            or separator[0] in '"\n\r'
        ):
            raise UserError(
                Argument("separator"),
                " must be one character, which blanks may follow. Received: ",
                Argument("separator", separator),
                ".",
            )
        if self.column_names is not None:
            object.__setattr__(self, "column_names", tuple(self.column_names))

    def separator_of(self, path: str) -> tuple[str, bool]:
        """The separator of a file, and whether blanks after it are dropped."""
        if self.separator is not None:
            character = self.separator[0]
            return character, len(self.separator) > 1
        name = path.lower().removesuffix(".gz")
        return ("\t" if name.endswith((".tsv", ".tab")) else ","), False


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and where it stands."""

    source: str
    line: int
    column: str
    value: str
    reason: str
    text: str = ""
    unit: str = "line"

    def __str__(self) -> str:
        column = f", column '{self.column}'" if self.column else ""
        place = f"{self.unit} {self.line}{column}"
        end = "" if self.reason.endswith("?") else "."
        return f"{self.source}, {place}: {self.reason}{end}"


class TextBlock:
    """Some whole lines of a text file."""

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
        self._format = text_format
        self._num_records = 0
        self._skipped: set[int] = set()

    def read(self, columns: Sequence[str]) -> tuple[pa.Table, list[BadRow]]:
        """The columns as text, and the rows that have too few or too many."""
        separator, trim = self._format.separator_of(self.source)
        invalid: list[Any] = []

        def skip(row: Any) -> str:
            invalid.append(row)
            return "skip"

        # Bytes first: text that is not UTF-8 is then found cell by cell.
        table = pa.csv.read_csv(
            pa.BufferReader(self.data),
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                column_names=list(self._column_names),
                block_size=len(self.data) + 1,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if self._format.quoting else False,
                newlines_in_values=self._format.quoting,
                invalid_row_handler=skip,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: _CELLS for name in columns},
                include_columns=list(columns),
                strings_can_be_null=False,
            ),
        )
        if trim:
            table = pa.table(
                [_trim_left(column) for column in table.columns],
                names=table.column_names,
            )
        self._num_records = table.num_rows + len(invalid)
        self._skipped = {row.number - 1 for row in invalid}
        return table, [self._describe(row) for row in invalid]

    def locate(self, row: int) -> tuple[int, str]:
        """Line number and text of a row of the table that `read` gave."""
        records = self._records()
        kept = [n for n in range(len(records)) if n not in self._skipped]
        return records[kept[row]]

    def _describe(self, row: Any) -> BadRow:
        line, text = self._records()[row.number - 1]
        reason = (
            f"{row.expected_columns} values expected, {row.actual_columns} "
            "found. Is the line cut off, or is a separator or a quote inside "
            "a value?"
        )
        return BadRow(self.source, line, "", "", reason, text)

    def _records(self) -> list[tuple[int, str]]:
        # Only for messages about bad rows; pyarrow has done the parsing. A
        # stray quote can make the two disagree: then each line is a record.
        records = _split_records(
            self.data, self.first_line, self._format.quoting
        )
        if len(records) != self._num_records:
            records = _split_records(self.data, self.first_line, False)
        missing = max(0, self._num_records - len(records))
        return records + [(self.first_line, "")] * missing


def text_blocks(
    path: str, text_format: TextFormat, block_bytes: int | None = None
) -> Iterator[TextBlock]:
    block_bytes = block_bytes or BLOCK_BYTES
    with _open_text(path) as file:
        names, data, line = _read_header(path, file, text_format, block_bytes)
        while True:
            chunk = _read_chunk(path, file, block_bytes)
            data += chunk
            if not chunk:
                if data.strip(b"\r\n"):
                    yield TextBlock(path, data, line, names, text_format)
                return
            end = _last_record_end(data, text_format.quoting)
            if not end:
                continue
            yield TextBlock(path, data[:end], line, names, text_format)
            line += data.count(b"\n", 0, end)
            data = data[end:]


def header_of(path: str, text_format: TextFormat) -> list[str]:
    """The column names of a text file."""
    with _open_text(path) as file:
        return _read_header(path, file, text_format, BLOCK_BYTES)[0]


def _last_record_end(data: bytes, quoting: bool) -> int:
    """Where the last whole record ends; 0 if more must be read first."""
    end = data.rfind(b"\n") + 1
    last_newline = end
    if quoting:
        # A line break inside an open quote does not end a record.
        quotes = data.count(b'"', 0, end)
        while end and quotes % 2:
            quote = data.rfind(b'"', 0, end)
            end = data.rfind(b"\n", 0, quote) + 1
            quotes = data.count(b'"', 0, end)
        if not end and len(data) > _LONGEST_RECORD_BLOCKS * BLOCK_BYTES:
            # No record is that long: a stray quote, which pyarrow judges.
            return last_newline
    return end


def _open_text(path: str) -> BinaryIO:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return open(path, "rb")


def _read_chunk(path: str, file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path} cannot be unpacked to its end ({error}): the file is cut "
            "off or damaged. Fetch it again."
        ) from error


def _read_header(
    path: str, file: BinaryIO, text_format: TextFormat, block_bytes: int
) -> tuple[list[str], bytes, int]:
    """Column names, the bytes after the header line, and their line number."""
    data = _read_chunk(path, file, block_bytes).removeprefix(b"\xef\xbb\xbf")
    if text_format.column_names is not None:
        return list(text_format.column_names), data, 1
    header, newline, rest = data.partition(b"\n")
    if not header.strip():
        raise UserError(
            f"{path} must begin with a line of column names, but its first "
            "line is empty. If it has no such line, give the names yourself (",
            Argument("column_names"),
            ").",
        )
    separator, trim = text_format.separator_of(path)
    names = next(
        csv.reader(
            [header.decode("utf-8", errors="replace").rstrip("\r")],
            delimiter=separator,
            quoting=csv.QUOTE_MINIMAL
            if text_format.quoting
            else csv.QUOTE_NONE,
            skipinitialspace=trim,
        )
    )
    return names, rest, 2


def _trim_left(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = []
    for chunk in column.chunks:
        text = pc.cast(chunk.dictionary, pa.string(), safe=False)
        text = pc.cast(pc.ascii_ltrim(text, characters=" "), pa.binary())
        trimmed.append(pa.DictionaryArray.from_arrays(chunk.indices, text))
    return pa.chunked_array(trimmed, column.type)


def _split_records(
    data: bytes, first_line: int, quoting: bool
) -> list[tuple[int, str]]:
    records: list[tuple[int, str]] = []
    open_quote = False
    lines = data.decode("utf-8", errors="replace").split("\n")
    for offset, line in enumerate(lines):
        text = line.removesuffix("\r")
        if open_quote:
            number, start = records[-1]
            records[-1] = (number, f"{start}\n{text}")
        elif text:
            records.append((first_line + offset, text))
        if quoting and text.count('"') % 2:
            open_quote = not open_quote
    return records
