"""One raw column beside prepared data, row by row."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.data.reading.part import Part
from deepfm_tf.data.reading.stream import Reading, ordered_map
from deepfm_tf.data.reading.time_split import TimePart
from deepfm_tf.errors import UserError
from deepfm_tf.fields import CategoricalField
from deepfm_tf.files.readers import Source, numbered_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.schema import Schema


def raw_column(
    source: Source,
    name: str,
    schema: Schema,
    *,
    text_format: TextFormat | None = None,
    part: Part | TimePart | None = None,
    on_error: str = "raise",
) -> Array:
    """A raw column of the rows that `prepare` takes, in their order.

    What to group by, the user say, must be known as it stands in the data:
    ids make one value of all that are unseen in training.

    Args:
        source, text_format, part, on_error: as for `prepare`.
        name: str. The column; it need not be a field.
        schema: the Schema, which decides the rows that can be read.

    Returns:
        (rows,) of text; None where missing.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema
    >>> schema = Schema((CategoricalField("site"),), "click")
    >>> data = {"site": ["a", "b"], "click": [1, 0], "user": [7.0, None]}
    >>> raw_column(data, "user", schema).tolist()
    ['7', None]
    """
    reading = Reading(source, schema, text_format, part, on_error)
    names = list(dict.fromkeys([*reading.columns, name]))
    # A field of its own, as the column may be a field of numbers, too.
    copy = f"{name} (as text)"
    while copy in names:
        copy += "_"
    field = CategoricalField(copy)
    extended = dataclasses.replace(schema, fields=(*schema.fields, field))
    reading = dataclasses.replace(reading, schema=extended)
    blocks = numbered_blocks(source, names, text_format)

    def texts(item: tuple[int, Any]) -> Array:
        number, block = item
        both: Any = _WithCopy(block, name, copy)
        checked = reading.check(number, both, names)
        # `prepare` keeps such a row: it need not have this text.
        for row in checked.rejected:
            if row.column == copy:
                raise UserError(f"{row} Fix the row, or use another column.")
        column: Any = checked.columns[copy]
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return np.asarray(column.to_numpy(zero_copy_only=False))

    return np.concatenate([np.empty(0, object), *ordered_map(texts, blocks)])


class _WithCopy:
    """A block that reads a column twice: as what it is, and as text."""

    def __init__(self, block: Any, name: str, copy: str) -> None:
        self._block = block
        self._name, self._copy = name, copy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)

    def read(self, names: list[str]) -> tuple[pa.Table, Any]:
        table, rejected = self._block.read(names)
        column = table.column(self._name)
        return table.append_column(self._copy, column), rejected
