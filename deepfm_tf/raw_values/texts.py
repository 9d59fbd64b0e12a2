"""The texts of whole Arrow columns, whatever their type."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.raw_values.element import (
    BEYOND,
    DURATION,
    FAR,
    LARGEST_WHOLE,
    shown,
    to_text,
)
from deepfm_tf.raw_values.objects import (
    ELEMENTS,
    from_elements,
    may_be_lists,
)

# Row (or value) -> column, value and reason.
Bad = dict[int, tuple[str, str, str]]


@functools.cache
def register_types() -> None:
    """Let Arrow read pandas' periods and intervals of a file as such.

    Until pandas has told Arrow of them, a period is an integer.
    """
    pa.array(pd.array([], dtype="period[D]"))


def cell_text(cell: pa.Scalar) -> str:
    """A cell for a message; "" where it is null."""
    try:
        value = cell.as_py()
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return shown(cell)
    is_object = cell.type == ELEMENTS or may_be_lists(cell.type)
    if is_object and value is not None:
        value = value[ELEMENTS.field(0).name]
    return "" if value is None else shown(value)


def to_texts(
    array: pa.Array, name: str, bad: Bad, separator: str | None = None
) -> pa.Array:
    """The texts (`pa.string()`) of a column; null where a value is missing.

    Args:
        array: Arrow array of any type.
        name: str. The column, for messages.
        bad: gets, for each row whose value has no text, why.
        separator: what the elements of lists are joined by. None refuses
            lists.

    Raises:
        UserTypeError: no value of the array's type has a text.
    """
    kind = array.type
    if may_be_lists(kind) and separator is not None:
        return to_texts(array.field(2), name, bad, separator)
    if kind == ELEMENTS or may_be_lists(kind):
        return _element_texts(array, name, bad)
    if isinstance(kind, pa.BaseExtensionType):
        return to_texts(_storage(array), name, bad, separator)
    if pa.types.is_dictionary(kind):
        return _of_distinct(array, name, bad, separator)
    if pa.types.is_run_end_encoded(kind):
        return to_texts(pc.run_end_decode(array), name, bad, separator)
    if pa.types.is_string(kind):
        return array
    if is_text(kind):
        return _utf8_texts(array, name, bad)
    if pa.types.is_null(kind) or pa.types.is_integer(kind):
        return pc.cast(array, pa.string())
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "True", "False")
    if pa.types.is_floating(kind):
        return _float_texts(array, name, bad)
    if pa.types.is_decimal(kind):
        # Arrow writes them as Python does.
        return pc.cast(array, pa.string())
    if pa.types.is_date(kind):
        return pc.cast(pc.cast(array, pa.date32(), safe=False), pa.string())
    if pa.types.is_timestamp(kind):
        return _timestamp_texts(array, name, bad)
    if pa.types.is_time(kind):
        return _time_texts(array)
    if array.null_count == len(array):
        return pa.nulls(len(array), pa.string())
    if is_list(kind) and separator is not None:
        return _join(array, name, bad, separator)
    _refuse(array, name)


def missing_to_null(text: pa.Array, missing_values: Sequence[str]) -> pa.Array:
    """Texts with null for the empty text and for the marks of missing."""
    markers = pa.array(["", *missing_values], pa.string())
    return pc.if_else(pc.is_in(text, value_set=markers), None, text)


def _element_texts(array: pa.Array, name: str, bad: Bad) -> pa.Array:
    texts, refused = array.field(0), array.field(1)
    if refused.null_count == len(refused):
        return texts
    is_bad = refused.is_valid().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(is_bad).tolist():
        cell = (name, texts[row].as_py(), refused[row].as_py())
        bad.setdefault(row, cell)
    return pc.if_else(pa.array(is_bad), None, texts)


def _of_distinct(
    array: pa.Array, name: str, bad: Bad, separator: str | None
) -> pa.Array:
    wrong: Bad = {}
    values = to_texts(array.dictionary, name, wrong, separator)
    if wrong:
        report_rows(wrong, codes_of(array, len(values)), bad)
    return values.take(array.indices)


def codes_of(array: pa.Array, null: int) -> Array:
    """The codes of a dictionary array; `null` where it has none."""
    codes = pc.cast(array.indices, pa.int64())
    filled: Array = pc.fill_null(codes, null).to_numpy(zero_copy_only=False)
    return filled


def report_rows(wrong: Bad, codes: Array, bad: Bad) -> None:
    """Tell of each row what is wrong with its value."""
    for row in np.flatnonzero(np.isin(codes, list(wrong))).tolist():
        bad.setdefault(row, wrong[int(codes[row])])


def _storage(array: pa.Array) -> pa.Array:
    """What an extension array holds, as values of a type that has texts."""
    name = array.type.extension_name
    if name == "arrow.uuid":
        cells = array.storage.to_pylist()
        values = [c if c is None else uuid.UUID(bytes=c) for c in cells]
        return from_elements(values)
    if name == "arrow.bool8":
        return pc.not_equal(array.storage, 0)
    if name.startswith("pandas."):  # periods and intervals
        dtype = array.type.to_pandas_dtype()
        return from_elements(dtype.__from_arrow__(array).astype(object))
    return array.storage


def _utf8_texts(array: pa.Array, name: str, bad: Bad) -> pa.Array:
    try:
        return pc.cast(array, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _element_texts(from_elements(array.to_pylist()), name, bad)


def _float_texts(array: pa.Array, name: str, bad: Bad) -> pa.Array:
    own = array.to_numpy(zero_copy_only=False)
    if array.null_count and own.dtype == object:
        own = np.array([np.nan if v is None else v for v in own])
    x = own.astype(np.float64)
    is_missing = np.isnan(x)
    with np.errstate(invalid="ignore"):
        is_whole = np.isfinite(x) & (np.floor(x) == x)
    fits = is_whole & (np.abs(x) <= LARGEST_WHOLE)
    integers = np.where(fits, x, 0).astype(np.int64)
    texts = pc.cast(pa.array(integers, mask=~fits), pa.string())
    for row in np.flatnonzero(is_whole & ~fits).tolist():
        value = str(own[row])
        bad.setdefault(row, (name, value, f"{value} {BEYOND}"))
    rest = np.flatnonzero(~is_whole & ~is_missing)
    if not len(rest):
        return texts
    parts = own[rest]
    size = np.abs(x[rest])
    # Within these bounds Arrow writes them as Python and numpy do.
    is_plain = (size >= 1e-3) & (size < 1e6) & (own.dtype.itemsize > 2)
    plain = np.where(is_plain, parts, 0.5).astype(own.dtype)
    if own.dtype.itemsize == 2:
        plain = plain.astype(np.float32)
    written = pc.cast(pa.array(plain), pa.string())
    if not is_plain.all():
        odd = [to_text(v) for v in parts[~is_plain]]
        order = np.arange(len(rest))
        order[~is_plain] = len(rest) + np.arange(len(odd))
        written = pa.concat_arrays([written, pa.array(odd, pa.string())])
        written = written.take(pa.array(order))
    return pc.replace_with_mask(
        texts, pa.array(~is_whole & ~is_missing), written
    )


def _timestamp_texts(array: pa.Array, name: str, bad: Bad) -> pa.Array:
    zone = None
    if array.type.tz is not None:
        array, zone = _local_times(array, name)
    texts = pc.cast(array, pa.string())
    is_far = pc.invert(pc.match_substring_regex(texts, r"^\d{4}-"))
    if pc.any(is_far).as_py():
        is_far = pc.fill_null(is_far, False).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(is_far).tolist():
            value = texts[row].as_py()
            bad.setdefault(row, (name, value, f"{value} {FAR}"))
    texts = pc.replace_substring_regex(
        texts, r"(?:\.0+|(\.\d*[1-9])0+)$", r"\1"
    )
    if zone is None:
        return pc.replace_substring_regex(texts, " 00:00:00$", "")
    return pc.binary_join_element_wise(texts, zone, "")


def _local_times(array: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    """What the clocks of the zone show, and the zone's offset as text."""
    # By pandas: Arrow looks for a data base of zones that few containers have.
    moments = array.view(pa.timestamp(array.type.unit))
    moments = moments.to_numpy(zero_copy_only=False)
    try:
        index = pd.DatetimeIndex(moments, tz="UTC").tz_convert(array.type.tz)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise UserError(
            f"Column '{name}' must have a time zone that is known here. "
            f"Received: {array.type.tz!r} ({error})."
        ) from error
    local = index.tz_localize(None).to_numpy()
    shift = (local - moments).astype("timedelta64[s]").astype(np.int64)
    shift[np.isnat(local)] = 0
    seconds, codes = np.unique(shift, return_inverse=True)
    offsets = pa.array(list(map(_offset_text, seconds.tolist())), pa.string())
    return pa.array(local, from_pandas=True), offsets.take(pa.array(codes))


def _offset_text(seconds: int) -> str:
    minutes, second = divmod(abs(seconds), 60)
    end = f":{second:02d}" if second else ""
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}{end}"


def _time_texts(array: pa.Array) -> pa.Array:
    """As `str` of Python's `time`: no fraction, or one of six digits."""
    texts = pc.cast(array, pa.string())
    texts = pc.replace_substring_regex(texts, r"\.0+$", "")
    texts = pc.replace_substring_regex(texts, r"(\.\d{3})$", r"\1000")
    return pc.replace_substring_regex(texts, r"(\.\d{6})000$", r"\1")


def _join(array: pa.Array, name: str, bad: Bad, separator: str) -> pa.Array:
    """The elements of lists, without the missing ones, as one text a row."""
    flat, lengths = _flatten(array)
    rows = np.repeat(np.arange(len(array)), lengths)
    wrong: Bad = {}
    texts = to_texts(flat, name, wrong)
    is_split = pc.fill_null(pc.match_substring(texts, separator), False)
    split = np.flatnonzero(is_split.to_numpy(zero_copy_only=False))
    for place in split.tolist():
        value = texts[place].as_py()
        wrong[place] = (
            name,
            value,
            f"the element {value!r} of a list holds the separator "
            f"{separator!r}; set another `separator` for the field",
        )
    for place, cell in wrong.items():
        bad.setdefault(int(rows[place]), cell)
    keep = texts.is_valid()
    kept = rows[keep.to_numpy(zero_copy_only=False)]
    ends = np.cumsum(np.bincount(kept, minlength=len(array)))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), texts.filter(keep))
    return pc.if_else(array.is_valid(), pc.binary_join(lists, separator), None)


def _flatten(array: pa.Array) -> tuple[pa.Array, Array]:
    """The elements of lists, and how many each row has."""
    if pa.types.is_fixed_size_list(array.type):
        array = pc.cast(array, pa.list_(array.type.value_type))
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    lengths = lengths.to_numpy(zero_copy_only=False)
    if not _is_list_view(array.type):
        return array.flatten(), lengths
    starts = array.offsets.to_numpy(zero_copy_only=False)
    inside = np.arange(lengths.sum()) - np.repeat(
        np.cumsum(lengths) - lengths, lengths
    )
    places = pa.array(inside + np.repeat(starts, lengths))
    return array.values.take(places), lengths


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists, of whatever layout."""
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or _is_list_view(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text or bytes, of whatever layout."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list_view(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    )


def _refuse(array: pa.Array, name: str) -> NoReturn:
    row = int(np.argmax(array.is_valid().to_numpy(zero_copy_only=False)))
    value = cell_text(array[row])
    if is_list(array.type):
        raise UserTypeError(
            f"Column '{name}' must hold one value a row. Received: "
            f"{array.type}, such as {value}. Only a MultiValuedField can read "
            "lists, of values that are no lists themselves."
        )
    hint = f" {DURATION}." if pa.types.is_duration(array.type) else ""
    raise UserTypeError(
        f"Column '{name}' must hold text or numbers. Received: "
        f"{array.type}, such as {value}.{hint}"
    )
