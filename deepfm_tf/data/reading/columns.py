"""Raw tables to checked columns: text with nulls, float32 with NaN, labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.fields import Field
from deepfm_tf.raw_values import (
    ELEMENTS,
    MISSING_NUMBERS,
    Bad,
    cell_text,
    is_text,
    missing_to_null,
    split_values,
    to_numbers,
    to_texts,
)
from deepfm_tf.schema import Schema
from deepfm_tf.timestamps import NOT_A_TIME, time_parts
from deepfm_tf.vocabulary import Columns


@dataclasses.dataclass
class CheckedColumns:
    """The columns of some rows, and the cells that could not be read.

    `bad` maps the number of a row to (column, value, reason); such a row's
    values in `columns` and `label` mean nothing.
    """

    columns: Columns
    label: Array | None
    bad: Bad
    weight: Array | None = None


def check_columns(
    table: pa.Table, schema: Schema, with_label: bool = True
) -> CheckedColumns:
    """Read every field, the label and the example weight of a raw table.

    Args:
        table: text columns (of a text file) or typed ones (Parquet, pandas).
        schema: the Schema.
        with_label: bool. Whether the label and the example weight are read
            too.

    Returns:
        CheckedColumns. Text is as it stands in the data, as dictionary
        arrays; null, NaN, the empty text and `schema.missing_values` are
        missing.
    """
    bad: Bad = {}
    columns: dict[str, Any] = {}
    for field in schema.fields:
        raw = distinct(flatten(table.column(field.name)), not field.is_text)
        wrong: Bad = {}
        if not field.is_text:
            numbers = to_numbers(
                raw.values, field.name, wrong, schema.missing_values
            )
            columns[field.name] = raw.expand(numbers)
        else:
            text = to_texts(raw.values, field.name, wrong, field.separator)
            text = missing_to_null(text, schema.missing_values)
            if field.has_weights:
                _check_weights(field, text, schema, wrong)
            if field.is_time:
                text = missing_to_null(text, (*MISSING_NUMBERS, NOT_A_TIME))
                _check_times(field, text, wrong)
            columns[field.name] = raw.dictionary(text)
        raw.report(wrong, bad)
    label = weight = None
    if with_label:
        raw = distinct(flatten(table.column(schema.label)))
        wrong = {}
        label = raw.expand(_labels(raw.values, schema, wrong))
        raw.report(wrong, bad)
    if with_label and schema.example_weight is not None:
        raw = distinct(flatten(table.column(schema.example_weight)))
        wrong = {}
        weight = raw.expand(_example_weights(raw.values, schema, wrong))
        raw.report(wrong, bad)
    return CheckedColumns(columns, label, bad, weight)


@dataclasses.dataclass(frozen=True)
class Distinct:
    """Distinct values of a column, so that each is checked once.

    Args:
        values: the values, with a null behind them if any row has none.
        codes: which of the values each row has. `None` means: row by row.
    """

    values: pa.Array
    codes: Array | None

    def expand(self, results: Array) -> Array:
        """What was found for the values, for each row."""
        return results if self.codes is None else results[self.codes]

    def dictionary(self, texts: pa.Array) -> pa.Array:
        """The rows' texts, as a dictionary array without null values."""
        if self.codes is None:
            return texts.dictionary_encode()
        if not texts.null_count:
            return pa.DictionaryArray.from_arrays(self.codes, texts)
        is_null = texts.is_null().to_numpy(zero_copy_only=False)
        indices = pa.array(self.codes, mask=is_null[self.codes])
        return pa.DictionaryArray.from_arrays(indices, pc.fill_null(texts, ""))

    def report(self, wrong: Bad, bad: Bad) -> None:
        """Add what is wrong with values to what is bad about rows."""
        if not wrong:
            return
        codes = (
            np.arange(len(self.values)) if self.codes is None else self.codes
        )
        is_wrong = np.zeros(len(self.values), dtype=bool)
        is_wrong[list(wrong)] = True
        for row in np.flatnonzero(is_wrong[codes]):
            bad.setdefault(int(row), wrong[int(codes[row])])


def distinct(array: pa.Array, is_number: bool = False) -> Distinct:
    """The distinct values of an array; row by row where it has none.

    Args:
        array: Arrow array of any type.
        is_number: bool. Whether numbers that are stored as such are wanted.
    """
    kind = array.type
    if kind == ELEMENTS:
        texts, refused = array.field(0), array.field(1)
        if refused.null_count < len(refused):
            return Distinct(array, None)
        array = texts
    elif not pa.types.is_dictionary(kind):
        # Arrow before 26 cannot encode float16.
        is_single = pa.types.is_primitive(kind) and not (
            is_number or pa.types.is_float16(kind)
        )
        if not is_text(kind) and not is_single:
            return Distinct(array, None)
    if not pa.types.is_dictionary(kind):
        array = array.dictionary_encode()
    values = array.dictionary
    codes = array.indices
    if codes.null_count:
        codes = pc.fill_null(codes, len(values))
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
    codes = pc.cast(codes, pa.int32())
    return Distinct(values, codes.to_numpy(zero_copy_only=False))


def flatten(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # pyarrow < 17 with no chunk
        array = (
            pa.concat_arrays(array.chunks)
            if array.num_chunks
            else (pa.array([], column.type))
        )
    return array


def _check_weights(
    field: Field,
    text: pa.Array,
    schema: Schema,
    bad: Bad,
) -> None:
    rows, _, weights = split_values(field, text, schema.missing_values)
    for row in np.unique(rows[np.isnan(weights)]):
        value = text[int(row)].as_py()
        reason = (
            f"a weight in {value!r} is not a finite number (expected "
            f"value{field.weight_separator}weight)"
        )
        bad.setdefault(int(row), (field.name, value, reason))


def _check_times(field: Field, text: pa.Array, bad: Bad) -> None:
    present = pc.is_valid(text).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(present & ~time_parts(text)[0]):
        value = text[int(row)].as_py()
        reason = (
            f"{value!r} is not a time (expected a text such as 2024-01-31 or "
            "2024-01-31 23:59:59, or the seconds since 1970)"
        )
        bad.setdefault(int(row), (field.name, value, reason))


def _labels(
    array: pa.Array,
    schema: Schema,
    bad: Bad,
) -> Array:
    text = to_texts(array, schema.label, bad)
    text = pc.utf8_trim_whitespace(text)
    positive = _is_in(text, schema.positive_labels)
    negative = _is_in(text, schema.negative_labels)
    for row in np.flatnonzero(~positive & ~negative):
        value = text[int(row)].as_py()
        expected = (
            f"{' or '.join(schema.negative_labels[:2])} (no click) or "
            f"{' or '.join(schema.positive_labels[:2])} (click)"
        )
        shown = "missing" if not value else f"{value!r}"
        reason = f"the label must be {expected}, but is {shown}"
        bad.setdefault(int(row), (schema.label, value or "", reason))
    return positive.astype(np.float32)


def _example_weights(array: pa.Array, schema: Schema, bad: Bad) -> Array:
    name = str(schema.example_weight)
    weights = to_numbers(array, name, bad, schema.missing_values)
    for row in np.flatnonzero(~(weights >= 0)):
        value = cell_text(array[int(row)])
        shown = f"{value!r}" if value else "missing"
        reason = f"the example weight must be 0 or more, but is {shown}"
        bad.setdefault(int(row), (name, value, reason))
    return weights


def _is_in(text: pa.Array, values: tuple[str, ...]) -> Array:
    return np.asarray(pc.is_in(text, value_set=pa.array(values, pa.string())))
