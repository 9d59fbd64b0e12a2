"""Rows with columns of one's own, made of raw ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from deepfm_tf.data.prepared.rejected import RejectedWriter
from deepfm_tf.data.reading.columns import flatten
from deepfm_tf.data.reading.on_error import check_on_error
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.readers import Block, column_names, read_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.raw_values import Bad, to_texts

# Turns rows of text, "" where missing, into as many rows.
Derive = Callable[[pd.DataFrame], pd.DataFrame]


class UnreadableRows(UserError):
    """Rows that a `Derive` cannot take; the others it can.

    Args:
        values: of the column that is wrong, in these rows alone.
        reason: str. What must hold, such as "must be YYMMDDHH".
    """

    def __init__(self, values: pd.Series, reason: str) -> None:
        super().__init__(
            f"Column '{values.name}' {reason}. Received: {values.iloc[0]!r}."
        )
        self.values = values
        self.reason = reason


def write_derived(
    path: str | Path,
    directory: Path,
    derive: Derive,
    *,
    text_format: TextFormat | None = None,
    on_error: str = "raise",
) -> None:
    """Write what `derive` makes of a file, as Parquet.

    Args:
        path: a file of any format.
        directory: an empty one. Gets the Parquet files, whose names are in
            the order of the rows, and `rejected.csv` if rows were left out.
        derive: of some rows, as text. Raises UnreadableRows.
        text_format: layout of text files.
        on_error: `"raise"`, or `"skip"` to leave out rows that cannot be
            read or derived.
    """
    check_on_error(on_error)
    names = column_names([path], text_format)
    blocks = read_blocks([path], names, text_format)
    with RejectedWriter(directory) as rejected:
        for number, block in enumerate(blocks):
            rows, bad = _read(block, names)
            try:
                derived = derive(rows)
            except UnreadableRows as error:
                bad += _bad_rows(block, _cells(error))
                derived = derive(rows.drop(index=error.values.index))
            bad.sort(key=lambda row: row.line)
            if bad and on_error != "skip":
                raise UserError(
                    f"{bad[0]} Fix the row, or pass ",
                    Argument("on_error", "skip"),
                    " to leave such rows out, counted and written to a file.",
                )
            rejected.write(bad)
            derived.to_parquet(directory / f"{number:05d}.parquet", index=False)


def _read(block: Block, names: list[str]) -> tuple[pd.DataFrame, list[BadRow]]:
    """The texts of a block, and the rows that have none."""
    table, rejected = block.read(names)
    cells: Bad = {}
    texts = {
        name: to_texts(flatten(column), name, cells).to_pandas()
        for name, column in zip(names, table.columns, strict=True)
    }
    rows = pd.DataFrame(texts).fillna("").drop(index=list(cells))
    return rows, rejected + _bad_rows(block, cells)


def _cells(error: UnreadableRows) -> Bad:
    column = str(error.values.name)
    return {
        int(row): (column, value, f"it {error.reason}, but is {value!r}")
        for row, value in error.values.items()
    }


def _bad_rows(block: Block, cells: Bad) -> list[BadRow]:
    rows = sorted(cells)
    return [
        BadRow(block.source, line, *cells[row], text, block.unit)
        for row, (line, text) in zip(rows, block.locate(rows), strict=True)
    ]
