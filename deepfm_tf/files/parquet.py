"""Parquet files as tables, with the types that were written."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet

from deepfm_tf.errors import UserError
from deepfm_tf.files.urls import is_url, open_binary
from deepfm_tf.raw_values import register_types

# Where Arrow keeps the types of the table that was written, in the footer.
_SCHEMA_KEY = b"ARROW:schema"
_MAGIC = b"PAR1"


def open_parquet(path: str) -> pa.parquet.ParquetFile:
    """A Parquet file; a ValueError says that it cannot be read, and why."""
    register_types()
    try:
        if not is_url(path):
            return pa.parquet.ParquetFile(path)
        source = open_binary(path, is_read_anywhere=True)
        # What adjoins in the file is asked for at once.
        return pa.parquet.ParquetFile(source, pre_buffer=True)
    except pa.ArrowInvalid as error:
        unreadable = _uuid_categories(path)
        if not unreadable:
            raise UserError(_damaged(path, error)) from error
        names = ", ".join(map(repr, unreadable))
        raise UserError(
            f"{path}, column {names}: Arrow cannot read a category of UUIDs "
            f"back ({error}). Write the column as text: "
            f"frame[{unreadable[0]!r}].astype(str)."
        ) from error


def parquet_tables(
    path: str, num_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a Parquet file, `num_rows` at a time.

    Args:
        path: the file.
        num_rows: int. Of a table, at most.
        columns: names; None reads all.

    Raises:
        ValueError: the file is damaged, or has a type that cannot be read.
    """
    with open_parquet(path) as file:
        lost = _lost_types(file)
        wanted = None if columns is None else list(columns)
        try:
            for batch in file.iter_batches(num_rows, columns=wanted):
                yield _restored(pa.Table.from_batches([batch]), lost)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(_damaged(path, error)) from error


def _damaged(path: str, error: Exception) -> str:
    return (
        f"{path} is not a whole Parquet file ({error}). Fetch or write it "
        "again."
    )


def _lost_types(file: pa.parquet.ParquetFile) -> dict[str, pa.DataType]:
    """Types of categories that Arrow reads back as others.

    It reads a category's values without their own metadata: moments of any
    zone as those of UTC, durations as integers.
    """
    metadata = file.metadata.metadata or {}
    if _SCHEMA_KEY not in metadata:
        return {}
    text = base64.b64decode(metadata[_SCHEMA_KEY])
    lost = {}
    for field in pa.ipc.read_schema(pa.py_buffer(text)):
        if not pa.types.is_dictionary(field.type):
            continue
        kind = field.type.value_type
        has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
        if has_zone or pa.types.is_duration(kind):
            lost[field.name] = kind
    return lost


def _restored(table: pa.Table, lost: dict[str, pa.DataType]) -> pa.Table:
    for number, field in enumerate(table.schema):
        kind = lost.get(field.name)
        if kind is None or pa.types.is_dictionary(field.type):
            continue
        if pa.types.is_timestamp(kind):
            # Parquet has no seconds: the unit stays as it was read.
            kind = pa.timestamp(field.type.unit, kind.tz)
        column = table.column(number).cast(kind)
        table = table.set_column(number, field.name, column)
    return table


def _uuid_categories(path: str) -> list[str]:
    """Columns of UUIDs that are categories, which Arrow's reader refuses."""
    try:
        footer = _footer(path)
        # Without the types that it stumbles over.
        footer = footer.replace(_SCHEMA_KEY, _SCHEMA_KEY.lower())
        file = pa.parquet.read_metadata(pa.BufferReader(_MAGIC + footer))
        known = json.loads((file.metadata or {}).get(b"pandas", b"{}"))
    except (pa.ArrowException, OSError, ValueError):
        return []
    uuids = {
        file.schema.column(number).path
        for number in range(len(file.schema.names))
        if file.schema.column(number).logical_type.type == "UUID"
    }
    return [
        column["name"]
        for column in known.get("columns", ())
        if column["pandas_type"] == "categorical" and column["name"] in uuids
    ]


def _footer(path: str) -> bytes:
    with open_binary(path, is_read_anywhere=True) as file:
        file.seek(-8, io.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        file.seek(-8 - size, io.SEEK_END)
        return file.read()
