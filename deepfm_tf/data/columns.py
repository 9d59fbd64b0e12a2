"""Raw tables to checked columns: text with nulls, float32 with NaN, labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.errors import UserTypeError
from deepfm_tf.fields import BucketizedField, MultiValuedField, NumericField
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import (
    Columns,
    numeric_missing_values,
    parse_numbers,
    split_values,
)

# Row (or value) -> column, value and reason.
Bad = dict[int, tuple[str, str, str]]


@dataclasses.dataclass
class CheckedColumns:
    """The columns of some rows, and the cells that could not be read.

    `bad` maps the number of a row to (column, value, reason); such a row's
    values in `columns` and `label` mean nothing.
    """

    columns: Columns
    label: np.ndarray | None
    bad: Bad
    weight: np.ndarray | None = None


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
        raw = _distinct(_flatten(table.column(field.name)))
        wrong: Bad = {}
        if isinstance(field, (NumericField, BucketizedField)):
            numbers = _numbers(raw.values, field.name, schema, wrong)
            columns[field.name] = raw.expand(numbers)
        else:
            separator = getattr(field, "separator", None)
            text = _texts(raw.values, field.name, wrong, separator)
            text = _missing_to_null(text, schema.missing_values)
            if isinstance(field, MultiValuedField) and field.weight_separator:
                _check_weights(field, text, schema, wrong)
            columns[field.name] = raw.dictionary(text)
        raw.report(wrong, bad)
    label = weight = None
    if with_label:
        raw = _distinct(_flatten(table.column(schema.label)))
        wrong = {}
        label = raw.expand(_labels(raw.values, schema, wrong))
        raw.report(wrong, bad)
    if with_label and schema.example_weight is not None:
        raw = _distinct(_flatten(table.column(schema.example_weight)))
        wrong = {}
        weight = raw.expand(_example_weights(raw.values, schema, wrong))
        raw.report(wrong, bad)
    return CheckedColumns(columns, label, bad, weight)


@dataclasses.dataclass(frozen=True)
class _Distinct:
    """Distinct values of a column, so that each is checked once.

    Args:
        values: the values, with a null behind them if any row has none.
        codes: which of the values each row has. `None` means: row by row.
    """

    values: pa.Array
    codes: np.ndarray | None

    def expand(self, results: np.ndarray) -> np.ndarray:
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


def _distinct(array: pa.Array) -> _Distinct:
    kind = array.type
    if not pa.types.is_dictionary(kind):
        if not _is_text(kind):
            return _Distinct(array, None)
        array = array.dictionary_encode()
    values = array.dictionary
    codes = array.indices
    if codes.null_count:
        codes = pc.fill_null(codes, len(values))
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
    codes = pc.cast(codes, pa.int32())
    return _Distinct(values, codes.to_numpy(zero_copy_only=False))


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def read_texts(
    column: pa.ChunkedArray, name: str, missing_values: Sequence[str] = ()
) -> pa.Array:
    """Any column as text, null where missing; lists joined by `|`."""
    array = _flatten(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    texts = _texts(array, name, {}, separator="|")
    return _missing_to_null(texts, tuple(missing_values))


def _flatten(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # pyarrow < 17 with no chunk
        array = (
            pa.concat_arrays(array.chunks)
            if array.num_chunks
            else (pa.array([], column.type))
        )
    return array


def _texts(
    array: pa.Array,
    name: str,
    bad: Bad,
    separator: str | None = None,
) -> pa.Array:
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return pc.cast(array, pa.string())
        except pa.ArrowInvalid:
            return _utf8_or_bad(array, name, bad)
    if pa.types.is_floating(kind):
        # pandas turns integers with gaps into floats: 7.0 stands for 7.
        text = pc.cast(pc.if_else(pc.is_nan(array), None, array), pa.string())
        return pc.replace_substring_regex(text, r"\.0$", "")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if separator is None:
            raise UserTypeError(
                f"Column '{name}' holds lists. Only a MultiValuedField can "
                "read lists."
            )
        parts = pc.cast(array, pa.list_(pa.string()))
        return pc.binary_join(parts, separator)
    try:
        return pc.cast(array, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserTypeError(
            f"Column '{name}' must hold text or numbers. Received: {kind}."
        ) from error


def _utf8_or_bad(array: pa.Array, name: str, bad: Bad) -> pa.Array:
    texts = []
    for row, value in enumerate(array.to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
            shown = value.decode("utf-8", errors="replace")
            reason = f"{shown!r} is not UTF-8 text; convert the file to UTF-8"
            bad.setdefault(row, (name, shown, reason))
    return pa.array(texts, pa.string())


def _missing_to_null(
    text: pa.Array, missing_values: tuple[str, ...]
) -> pa.Array:
    markers = pa.array(["", *missing_values], pa.string())
    return pc.if_else(pc.is_in(text, value_set=markers), None, text)


def _numbers(
    array: pa.Array,
    name: str,
    schema: Schema,
    bad: Bad,
) -> np.ndarray:
    kind = array.type
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        if pa.types.is_boolean(kind):
            array = pc.cast(array, pa.int8())
        numbers = pc.cast(array, pa.float64(), safe=False)
        double = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            result = double.astype(np.float32)
        wrong = np.isinf(result)
        result[wrong] = np.nan
    elif pa.types.is_null(kind):
        return np.full(len(array), np.nan, dtype=np.float32)
    else:
        text = pc.utf8_trim_whitespace(_texts(array, name, bad))
        text = _missing_to_null(text, (*schema.missing_values, "nan", "NaN"))
        result = parse_numbers(text)
        present = pc.is_valid(text).to_numpy(zero_copy_only=False)
        wrong = np.isnan(result) & present
    for row in np.flatnonzero(wrong):
        value = _shown(array[int(row)])
        reason = f"{value!r} is not a finite number"
        bad.setdefault(int(row), (name, value, reason))
    result[np.isin(result, numeric_missing_values(schema))] = np.nan
    return result


def _shown(cell: pa.Scalar) -> str:
    """A cell as text; of a text file it is bytes, and "" where it is null."""
    value = cell.as_py()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return "" if value is None else str(value)


def _check_weights(
    field: MultiValuedField,
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


def _labels(
    array: pa.Array,
    schema: Schema,
    bad: Bad,
) -> np.ndarray:
    text = _texts(array, schema.label, bad)
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


def _example_weights(array: pa.Array, schema: Schema, bad: Bad) -> np.ndarray:
    name = str(schema.example_weight)
    weights = _numbers(array, name, schema, bad)
    for row in np.flatnonzero(~(weights >= 0)):
        value = _shown(array[int(row)])
        shown = f"{value!r}" if value else "missing"
        reason = f"the example weight must be 0 or more, but is {shown}"
        bad.setdefault(int(row), (name, value, reason))
    return weights


def _is_in(text: pa.Array, values: tuple[str, ...]) -> np.ndarray:
    found = pc.is_in(text, value_set=pa.array(values, pa.string()))
    return found.to_numpy(zero_copy_only=False)
