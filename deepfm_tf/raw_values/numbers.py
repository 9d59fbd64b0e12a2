"""The numbers of whole Arrow columns, and of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.raw_values.element import shown
from deepfm_tf.raw_values.objects import ELEMENTS, may_be_lists
from deepfm_tf.raw_values.texts import (
    Bad,
    cell_text,
    codes_of,
    missing_to_null,
    report_rows,
    to_texts,
)

# What pandas, R, SQL and spreadsheets write for a number that is not there.
MISSING_NUMBERS = tuple(
    "#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,"
    "NULL,NaN,None,n/a,nan,null".split(",")
)
NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def to_doubles(
    array: pa.Array, name: str, bad: Bad, missing_values: Sequence[str] = ()
) -> Array:
    """The numbers (float64) of a column; NaN where a value is missing.

    Text is trimmed and read as a number. The usual spellings of missing
    (`MISSING_NUMBERS`) and `missing_values` are missing.

    Args:
        array: Arrow array of any type.
        name: str. The column, for messages.
        bad: gets, for each row whose value is not a number, why.
        missing_values: further marks of missing values.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        wrong: Bad = {}
        values = to_doubles(array.dictionary, name, wrong, missing_values)
        codes = codes_of(array, len(values))
        report_rows(wrong, codes, bad)
        return np.append(values, np.nan)[codes]
    if pa.types.is_boolean(kind):
        array = pc.cast(array, pa.int8())
    elif pa.types.is_float16(kind):
        array = pa.array(array.to_numpy(zero_copy_only=False).astype("f4"))
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        numbers = pc.cast(array, pa.float64(), safe=False)
        return _floats(numbers)
    wrong = {}
    if kind == ELEMENTS or may_be_lists(kind):
        # A number beyond 2^53 is no name, but it is a number.
        text = array.field(0)
    else:
        text = to_texts(array, name, wrong)
    text = pc.utf8_trim_whitespace(text)
    if not missing_values and not wrong:
        plain = _parse_plain(text)
        if plain is not None:
            return plain
    text = missing_to_null(text, (*missing_values, *MISSING_NUMBERS))
    result = _parse(text)
    present = pc.is_valid(text).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(present & ~np.isfinite(result)).tolist():
        value = shown(text[row].as_py())
        reason = f"{value!r} is not a finite number"
        wrong.setdefault(row, (name, value, reason))
    for row, cell in wrong.items():
        bad.setdefault(row, cell)
    return np.where(np.isfinite(result), result, np.nan)


def to_numbers(
    array: pa.Array, name: str, bad: Bad, missing_values: Sequence[str] = ()
) -> Array:
    """The same as float32, as models read it; infinities are refused."""
    double = to_doubles(array, name, bad, missing_values)
    with np.errstate(over="ignore"):
        result = double.astype(np.float32)
    for row in np.flatnonzero(np.isinf(result)).tolist():
        value = cell_text(array[row])
        reason = f"{value!r} is not a finite number"
        bad.setdefault(row, (name, value, reason))
        result[row] = np.nan
    if missing_values:
        result[np.isin(result, missing_numbers(missing_values))] = np.nan
    return result


def parse_numbers(texts: pa.Array) -> Array:
    """Float32 of a text array; NaN for what is not a finite number."""
    # Text to double to float32, so that every reader rounds in one way.
    with np.errstate(over="ignore"):
        result = _parse(pc.utf8_trim_whitespace(texts)).astype(np.float32)
    result[np.isinf(result)] = np.nan
    return result


def missing_numbers(missing_values: Sequence[str]) -> Array:
    """Those marks of missing values that are numbers, as float32."""
    if not missing_values:
        return np.empty(0, dtype=np.float32)
    numbers = parse_numbers(pa.array(missing_values, pa.string()))
    known: Array = numbers[~np.isnan(numbers)]
    return known


def _parse_plain(texts: pa.Array) -> Array | None:
    """The same where each text is a number or empty; None elsewhere."""
    try:
        numbers = pc.cast(
            pc.if_else(pc.equal(texts, ""), None, texts), pa.float64()
        )
    except pa.ArrowInvalid:
        return None
    # Arrow takes `nan` and `inf` too.
    if not pc.all(pc.is_finite(numbers)).as_py():
        return None
    return _floats(numbers)


def _parse(texts: pa.Array) -> Array:
    """Float64 of trimmed texts; NaN for what is not a number."""
    valid = pc.match_substring_regex(texts, NUMBER_PATTERN)
    numbers = pc.cast(pc.if_else(valid, texts, None), pa.float64())
    return _floats(numbers)


def _floats(numbers: pa.Array) -> Array:
    """As numpy; NaN for null."""
    floats: Array = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
    return floats
