"""The first rows of a source, by which its columns are judged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.data.reading.columns import distinct, flatten
from deepfm_tf.errors import UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.json_lines import JsonBlock
from deepfm_tf.files.readers import Block, Source, read_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.raw_values import (
    Bad,
    is_list,
    may_be_lists,
    missing_to_null,
    to_texts,
)

# Enough rows to tell a column's kind, few enough to take a second.
_MAX_ROWS = 200_000
_MAX_BLOCKS = 64
# A column of which more rows cannot be read is left out.
_MOSTLY_REFUSED = 0.5


class Head:
    """The first rows of a source, and where they stand.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        names: the columns that are read.
        text_format: layout of text files.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        text_format: TextFormat | None,
    ) -> None:
        self.source, self.text_format = source, text_format
        wanted = list(dict.fromkeys(names))
        self.num_rows = 0
        self.bad: list[BadRow] = []
        self._blocks: list[Block] = []
        self._starts: list[int] = []
        self._tables: list[pa.Table] = []
        blocks = read_blocks(source, wanted, text_format)
        for block in itertools.islice(blocks, _MAX_BLOCKS):
            table, bad = _read(block, wanted)
            self.bad += bad[:1]
            self._blocks.append(block)
            self._starts.append(self.num_rows)
            self._tables.append(table)
            self.num_rows += table.num_rows
            if self.num_rows >= _MAX_ROWS:
                break

    def texts(self, name: str, missing_values: Sequence[str] = ()) -> pa.Array:
        """A column as text, a dictionary array.

        Files of one source may store it differently.
        """
        texts = [
            _texts(table.column(name), name, missing_values)
            for table in self._tables
        ]
        kind = pa.dictionary(pa.int32(), pa.string())
        return flatten(pa.chunked_array(texts, kind).unify_dictionaries())

    def holds_lists(self, name: str) -> bool:
        """Whether any file has lists in a column."""
        kinds = [table.schema.field(name).type for table in self._tables]
        return any(is_list(kind) or may_be_lists(kind) for kind in kinds)

    def labels(self, label: str) -> dict[str, int]:
        """Each label, without blanks around it, and its number of rows."""
        texts = pc.fill_null(_decoded(self.texts(label)), "")
        counted = pc.value_counts(pc.utf8_trim_whitespace(texts))
        return {
            entry["values"]: entry["counts"] for entry in counted.to_pylist()
        }

    def place(self, texts: pa.Array, value: str) -> str:
        """Where a text stands first."""
        row = pc.index(_decoded(texts), value).as_py()
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        block = self._blocks[number]
        ((line, _),) = block.locate([row - self._starts[number]])
        return f"{block.source}, {block.unit} {line}"


def _read(block: Block, names: Sequence[str]) -> tuple[pa.Table, list[BadRow]]:
    # A column of objects must not cost the others their rows.
    if isinstance(getattr(block, "block", block), JsonBlock):  # in folders
        return block.read(names, with_objects=True)  # type: ignore[call-arg]
    return block.read(names)


def _texts(
    column: pa.ChunkedArray, name: str, missing_values: Sequence[str]
) -> pa.Array:
    raw = distinct(flatten(column))
    wrong: Bad = {}
    texts = to_texts(raw.values, name, wrong, separator="|")
    texts = missing_to_null(texts, missing_values)
    if pa.types.is_floating(raw.values.type):
        # Those too large for ids have no text; numbers they are.
        numbers = pc.cast(raw.values, pa.float64())
        is_large = pc.greater_equal(pc.abs(numbers), 2.0**53)
        written = pc.cast(numbers, pa.string())
        texts = pc.if_else(pc.fill_null(is_large, False), written, texts)
        return raw.dictionary(texts)
    bad: Bad = {}
    raw.report(wrong, bad)
    if len(bad) > _MOSTLY_REFUSED * len(column):
        raise UserError(next(iter(bad.values()))[2])
    return raw.dictionary(texts)


def _decoded(texts: pa.Array) -> pa.Array:
    """The texts of a dictionary array, row by row."""
    return pc.cast(texts, pa.string())
