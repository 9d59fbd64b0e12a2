"""Files of JSON lines as blocks of rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from deepfm_tf.errors import UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.content import TextContent
from deepfm_tf.raw_values import (
    NoTextError,
    from_elements,
    to_text,
    with_lists,
)

# What one worker holds of a file at a time.
BLOCK_BYTES = 16 * 2**20
# A line may be as long as this many blocks.
_LONGEST_LINE_BLOCKS = 4
# The keys of so much of a file are its columns.
_HEAD_BYTES = 4 * 2**20


class JsonBlock:
    """Some whole lines of a file, each a JSON object."""

    unit = "line"

    def __init__(self, path: str, data: bytes, first_line: int) -> None:
        self.source = path
        self.size = len(data)
        self._data = data
        self._first_line = first_line
        self._lines: list[tuple[int, bytes]] = []

    def read(
        self, columns: Sequence[str], with_objects: bool = False
    ) -> tuple[pa.Table, list[BadRow]]:
        """The columns with JSON's types, absent keys missing.

        Args:
            columns: the keys wanted.
            with_objects: bool. Whether objects may be values; else their
                rows are bad.
        """
        rows, lines_read, bad = self._parsed
        bad = list(bad)
        good: list[dict[str, Any]] = []
        lines = []
        for place, row in zip(lines_read, rows, strict=True):
            objects = [n for n in columns if _holds_object(row.get(n))]
            if objects and not with_objects:
                reason = "an object, or a list in a list, cannot be a value"
                bad.append(self._bad_row(*place, reason, objects[0]))
                continue
            good.append(row)
            lines.append(place)
        self._lines = lines
        arrays = [_array([row.get(name) for row in good]) for name in columns]
        bad.sort(key=lambda row: row.line)
        return pa.table(arrays, names=list(columns)), bad

    def keys(self) -> list[str]:
        """The keys of all rows, in the order in which they first appear.

        Raises:
            ValueError: no line is a row, as in a file that is one array.
        """
        rows, _, bad = self._parsed
        if bad and not rows:
            raise UserError(
                f"{bad[0]} JSON in one piece cannot be read: write an object "
                "in each line (pandas: orient='records', lines=True)."
            )
        return list(dict.fromkeys(key for row in rows for key in row))

    def locate(self, rows: Sequence[int]) -> list[tuple[int, str]]:
        """Line and text of rows of the table that was read last."""
        places = [self._lines[row] for row in rows]
        return [(n, line.decode("utf-8", "replace")) for n, line in places]

    @functools.cached_property
    def _parsed(
        self,
    ) -> tuple[list[dict[str, Any]], list[tuple[int, bytes]], list[BadRow]]:
        """The rows, their lines, and what is no row."""
        rows: list[dict[str, Any]] = []
        lines: list[tuple[int, bytes]] = []
        bad: list[BadRow] = []
        for number, line in enumerate(self._data.split(b"\n")):
            line = line.strip()
            if not line:
                continue
            place = (self._first_line + number, line)
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError:
                reason = "the text is not UTF-8; convert the file to UTF-8"
                bad.append(self._bad_row(*place, reason))
                continue
            except (json.JSONDecodeError, RecursionError) as error:
                reason = f"each line must be a JSON object ({error})"
                bad.append(self._bad_row(*place, reason))
                continue
            if not isinstance(row, dict):
                shown = line[:60].decode("utf-8", "replace")
                reason = f"each line must be a JSON object. Received: {shown}"
                bad.append(self._bad_row(*place, reason))
                continue
            if b"\\u" in line and _is_cut(row):
                reason = (
                    "the text has half of a character (a lone surrogate, "
                    "\\ud800 to \\udfff)"
                )
                bad.append(self._bad_row(*place, reason))
                continue
            rows.append(row)
            lines.append(place)
        return rows, lines, bad

    def _bad_row(
        self, number: int, line: bytes, reason: str, column: str = ""
    ) -> BadRow:
        text = line.decode("utf-8", errors="replace")
        return BadRow(self.source, number, column, "", reason, text)


def json_blocks(
    path: str, block_bytes: int | None = None
) -> Iterator[JsonBlock]:
    """A file of JSON lines, block by block.

    Args:
        path: the file, compressed or not.
        block_bytes: int or None. About how much text makes a block.

    Raises:
        ValueError: a line is too long.
    """
    block_bytes = block_bytes or BLOCK_BYTES
    longest = _LONGEST_LINE_BLOCKS * BLOCK_BYTES
    data, line = b"", 1
    with TextContent(path) as content:
        while True:
            size = max(block_bytes, len(data))
            chunk = content.read(size)
            data += chunk
            if len(data) > longest and b"\n" not in data[:longest]:
                raise UserError(
                    f"{path}, line {line}: a line must be shorter than "
                    f"{longest:,} bytes. Write a JSON object in each line."
                )
            if len(chunk) < size:
                break
            end = data.rfind(b"\n") + 1
            if end:
                yield JsonBlock(path, data[:end], line)
                line += data.count(b"\n", 0, end)
                data = data[end:]
        if data.strip():
            yield JsonBlock(path, data, line)


def json_keys(path: str) -> list[str]:
    """The columns of a file: the keys of its first lines."""
    for block in json_blocks(path, _HEAD_BYTES):
        return block.keys()
    return []


def _holds_object(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, (dict, list)) for item in value)
    return isinstance(value, dict)


def _is_cut(row: dict[str, Any]) -> bool:
    """Whether a text of a row has half of a pair of surrogates."""
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _array(values: list[Any]) -> pa.Array:
    """The values of a column, all of one type."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    # 7 beside "seven", or more digits than 64 bits hold: text. What has none
    # is refused, or read, by itself.
    if not any(isinstance(value, list) for value in values):
        return _texts(values)
    lists = [
        value if value is None or isinstance(value, list) else [value]
        for value in values
    ]
    lengths = [0 if items is None else len(items) for items in lists]
    offsets = pa.array(
        np.cumsum([0, *lengths]),
        pa.int32(),
        mask=np.array([*(items is None for items in lists), False]),
    )
    flat = [item for items in lists for item in items or ()]
    array = pa.ListArray.from_arrays(offsets, _texts(flat))
    if all(value is None or isinstance(value, list) for value in values):
        return array
    return with_lists(values, array)


def _texts(values: list[Any]) -> pa.Array:
    try:
        return pa.array([_text(value) for value in values], pa.string())
    except NoTextError:
        return from_elements(values)


def _text(value: Any) -> str | None:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return to_text(value)
