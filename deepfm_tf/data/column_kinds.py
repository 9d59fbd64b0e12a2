"""What a column can be, by its first rows: a field, and the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.data.column_names import is_id_name, is_time_name, is_time_unit
from deepfm_tf.fields import (
    TIME_PARTS,
    CategoricalField,
    Field,
    MultiValuedField,
    NumericField,
    TimestampField,
)
from deepfm_tf.raw_values import MISSING_NUMBERS, parse_numbers
from deepfm_tf.shell import option
from deepfm_tf.timestamps import NO_MOMENT, NOT_A_TIME, local_times, moments

# A whole number with more values than this measures; with fewer, it names.
_MAX_NAMES = 64
# So many rows for each value beside the commonest: amounts that recur.
_ROWS_TO_RECUR = 5
# Ids, phone numbers, hashes: a whole number of more digits is a name.
_MAX_DIGITS = 10
# "Unique in each row" is evidence only where there are rows enough.
_MIN_ROWS_FOR_UNIQUE = 100
_MOSTLY_UNIQUE = 0.95
# Nearly all rows are numbers (or times): the others are slips or markers of
# missing values, if these are few spellings. Codes such as 123A, of which
# most have no letter, are of many.
_NEARLY_ALL = 0.95
_MAX_ODD = 20
# Distinct texts that are looked at first for times.
_MIN_TIMES = 1000
_SEPARATORS = ("|", ";")
# That an inferred field keeps of a row.
_MOST_VALUES = 16
# Seconds since 1970: from 1980 to 2100, by which day they begin and end.
_FIRST_TIME, _LAST_TIME = np.array(["1980-01-01", "2100-01-01"], "M8[us]").view(
    np.int64
)
# 12,5 or 1,234.5 or 1.234,5: a number to people, a text to a reader.
_COMMA = (
    r"^[+-]?(?:\d+,\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?|"
    r"\d{1,3}(?:[. ]\d{3})+,\d+)$"
)
_WHOLE = r"^[+-]?\d+$"
_MEASURED = "; if they are ids, say so with `categorical` (--categorical)"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What became of a column.

    Args:
        name: str. The column.
        kind: str. The kind of the field in words, or "left out".
        reason: str. Why.
        field: the field, or None.
        odd: texts that the field cannot read, with their numbers of rows.
        unlike_numbers: texts that people may mean as numbers, likewise,
            where the field takes them for names.
    """

    name: str
    kind: str
    reason: str
    field: Field | None = None
    odd: dict[str, int] = dataclasses.field(default_factory=dict)
    unlike_numbers: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Values:
    """The distinct texts of a column, and in how many rows each stands."""

    texts: pa.Array
    counts: Array
    num_rows: int

    @classmethod
    def of(cls, texts: pa.DictionaryArray) -> _Values:
        """Those of a column, in the order of the dictionary."""
        codes = pc.fill_null(texts.indices, len(texts.dictionary))
        rows = np.bincount(codes, minlength=len(texts.dictionary))
        # Values that were not the same may be so as texts: 0.0 and -0.0.
        distinct = texts.dictionary.dictionary_encode()
        counts = np.zeros(len(distinct.dictionary), np.int64)
        np.add.at(counts, np.asarray(distinct.indices), rows[: len(distinct)])
        values = cls(distinct.dictionary, counts, len(texts))
        return values.where(counts > 0)

    @property
    def num_present(self) -> int:
        return int(self.counts.sum())

    def where(self, mask: Array) -> _Values:
        texts = self.texts.filter(pa.array(mask, pa.bool_()))
        return _Values(texts, self.counts[mask], self.num_rows)

    def matching(self, pattern: str) -> Array:
        found = pc.match_substring_regex(self.texts, pattern)
        return np.asarray(found)

    def among(self, values: tuple[str, ...]) -> Array:
        texts = pc.utf8_trim_whitespace(self.texts)
        found = pc.is_in(texts, value_set=pa.array(values, pa.string()))
        return np.asarray(found)

    def as_dict(self) -> dict[str, int]:
        return dict(
            zip(self.texts.to_pylist(), self.counts.tolist(), strict=True)
        )


def decide(name: str, texts: pa.Array, is_list: bool = False) -> Decision:
    """What a column is to be.

    Args:
        name: str. The column.
        texts: its first rows as a dictionary array of texts, null where
            missing.
        is_list: bool. Whether it held lists, now joined by `|`.
    """
    values = _Values.of(texts)
    counts = values.counts
    if not len(counts):
        return _left_out(name, "it is always missing")
    if len(counts) == 1 and not texts.null_count:
        return _left_out(name, f"it is always {values.texts[0].as_py()!r}")
    if is_list:
        return _field(MultiValuedField(name), "it holds lists")
    is_marker = values.among(MISSING_NUMBERS)
    numbers = parse_numbers(values.texts)
    is_number = ~np.isnan(numbers)
    if _are_nearly_all(values, is_number, is_marker | is_number):
        return _numbers(name, values, numbers, is_marker)
    is_time = _are_times(values.texts) & ~is_number
    is_marker = values.among((*MISSING_NUMBERS, NOT_A_TIME))
    if _are_nearly_all(values, is_time, is_marker | is_time):
        odd = values.where(~is_time & ~is_marker)
        return _times(name, values.where(is_time), odd)
    return _texts(name, values, is_number)


def without_folders(
    decisions: Sequence[Decision], in_folders: Collection[str]
) -> list[Decision]:
    """Leave out the days of folders' names, where rows tell the time better.

    Requests do not hold them, and a later day would be an unseen value.

    Args:
        decisions: of all columns.
        in_folders: the columns that stand in the names of folders alone.
    """
    times = [
        decision.name
        for decision in decisions
        if decision.name not in in_folders
        and decision.field is not None
        and decision.field.is_time
    ]
    if not times:
        return list(decisions)
    reason = (
        f"it occurs only in the names of folders, and '{times[0]}' holds the "
        "time of each row"
    )
    return [
        _left_out(decision.name, reason)
        if decision.name in in_folders and is_time_unit(decision.name)
        else decision
        for decision in decisions
    ]


def _are_times(texts: pa.Array) -> Array:
    # Most columns have none among the first, and then not nearly all.
    if (moments(texts[:_MIN_TIMES]) == NO_MOMENT).all():
        return np.zeros(len(texts), dtype=bool)
    return np.asarray(moments(texts) != NO_MOMENT)


def _are_nearly_all(
    values: _Values, is_right: Array, is_expected: Array
) -> bool:
    odd = values.where(~is_expected)
    right = int(values.counts[is_right].sum())
    is_slip = odd.matching(_COMMA)
    return (
        right > 0
        and right >= _NEARLY_ALL * (right + odd.num_present)
        and int((~is_slip).sum()) <= _MAX_ODD
    )


def _numbers(
    name: str, values: _Values, numbers: Array, is_marker: Array
) -> Decision:
    is_number = ~np.isnan(numbers)
    # Blanks before a number, as after ", ", do not make it another one.
    trimmed = pc.utf8_trim_whitespace(values.texts)
    values = dataclasses.replace(values, texts=trimmed)
    present = values.where(is_number)
    numbers = numbers[is_number]
    odd = values.where(~is_number & ~is_marker).as_dict()
    markers = values.where(is_marker)
    # Of doubles above 2^53 all are whole: that says nothing.
    is_whole = bool(
        ((numbers == np.floor(numbers)) & (abs(numbers) < 2.0**53)).all()
    ) or bool(present.matching(_WHOLE).all())
    # Without a point or an exponent, as ids are written.
    is_digits = is_whole and bool(present.matching(_WHOLE).all())
    if is_digits and is_time_name(name) and _are_epochs(present):
        return _times(name, present, values.where(~is_number & ~is_marker))
    if is_whole and _are_unique(present, 1.0):
        return _left_out(name, "every row has a different value")
    is_zero_led = is_digits and bool(present.matching(r"^0\d").any())
    names = CategoricalField(name)
    if is_zero_led:
        return _field(names, "whole numbers that begin with zeros")
    longest = pc.max(pc.utf8_length(present.texts)).as_py()
    if is_digits and longest > _MAX_DIGITS:
        return _field(names, f"whole numbers of up to {longest} digits")
    if is_whole and is_id_name(name):
        return _field(
            names, "whole numbers, and its name says that it is an id"
        )
    # "1.0" may be written "1" in serving; as a number it is the same.
    if is_digits and len(numbers) <= _MAX_NAMES:
        return _field(names, f"only {len(numbers)} different whole numbers")
    # Such as capital gains, nearly all zero: each amount has its own meaning,
    # which a line through the logarithms cannot have.
    most = int(present.counts.max())
    others = present.num_present - most
    if is_digits and most > others >= _ROWS_TO_RECUR * (len(numbers) - 1):
        return _field(
            names, "whole numbers: one is frequent, and the others repeat"
        )
    low, median, high = np.quantile(
        np.repeat(numbers, present.counts), (0.0, 0.5, 0.99)
    )
    field = NumericField(name)
    reason = "whole numbers" if is_whole else "numbers"
    if low >= 0 and high > 20 * max(median, 1.0):
        field = NumericField(name, scaling="log")
        reason += " with a long tail: scaled by the logarithm"
    if markers.num_present:
        shown = ", ".join(markers.texts.to_pylist())
        reason += f"; {shown} ({markers.num_present:,} rows) means missing"
    return _field(field, reason + _MEASURED * is_whole, odd=odd)


def _are_epochs(values: _Values) -> bool:
    """Whether whole numbers are times: of one length, and of these times."""
    found = moments(values.texts)
    # 1999999999 and 2000000000 may stand together, 10 and 13 digits not.
    lengths = pc.utf8_length(values.texts).to_numpy(zero_copy_only=False)
    return bool(
        ((found >= _FIRST_TIME) & (found < _LAST_TIME)).all()
        and np.ptp(lengths) <= 1
    )


def _times(name: str, values: _Values, odd: _Values) -> Decision:
    found = moments(values.texts)
    first, last = (
        np.datetime64(int(moment), "us").astype("M8[s]").item().isoformat(" ")
        for moment in (found.min(), found.max())
    )
    parts: tuple[str, ...] = TIME_PARTS
    days = np.unique(local_times(values.texts)[0] // 86_400_000_000)
    if (found % 86_400_000_000 == 0).all():
        first, last, parts = first[:10], last[:10], TIME_PARTS[1:]
    elif len(days) == 1:
        parts = TIME_PARTS[:1]
    reason = f"times from {first} to {last}; the model gets {', '.join(parts)}"
    if len(days) == 1:
        reason += " only, because all are on one day"
    reason += (
        f"; to test on the latest rows, use {option('--split-by-time', name)}"
    )
    return _field(TimestampField(name, parts), reason, odd=odd.as_dict())


def _texts(name: str, values: _Values, is_number: Array) -> Decision:
    if _are_unique(values, _MOSTLY_UNIQUE):
        reason = "nearly every row has a different value"
        return dataclasses.replace(
            _left_out(name, reason), unlike_numbers=_commas(values, is_number)
        )
    unique = values.texts
    for separator in _SEPARATORS:
        if not pc.any(pc.match_substring(unique, separator)).as_py():
            continue
        parts = pc.split_pattern(unique, separator)
        lengths = pc.list_value_length(parts).to_numpy(zero_copy_only=False)
        # Parts must recur: otherwise the separator is only punctuation.
        recurring = len(pc.unique(parts.flatten())) < 0.75 * lengths.sum()
        if (lengths > 1).mean() >= 0.2 and recurring:
            longest = int(lengths.max())
            reason = f"up to {longest} values between {separator!r}"
            if longest > _MOST_VALUES:
                reason += (
                    f", of which the first {_MOST_VALUES} are kept (in a "
                    'history, the last: "keep": "last" in the schema)'
                )
            field = MultiValuedField(
                name,
                separator=separator,
                max_length=min(longest, _MOST_VALUES),
            )
            return _field(field, reason)
    return _field(
        CategoricalField(name),
        f"text of {len(unique):,} different values",
        unlike_numbers=_commas(values, is_number),
    )


def _commas(values: _Values, is_number: Array) -> dict[str, int]:
    """The texts with commas, if these and numbers are nearly all."""
    is_comma = values.matching(_COMMA) & ~is_number
    if is_comma.any() and _are_nearly_all(
        values, is_comma | is_number, is_comma | is_number
    ):
        return values.where(is_comma).as_dict()
    return {}


def _are_unique(values: _Values, share: float) -> bool:
    return (
        values.num_rows >= _MIN_ROWS_FOR_UNIQUE
        and len(values.counts) >= share * values.num_rows
    )


def _left_out(name: str, reason: str) -> Decision:
    return Decision(name, "left out", reason)


def _field(
    field: Field,
    reason: str,
    odd: dict[str, int] | None = None,
    unlike_numbers: dict[str, int] | None = None,
) -> Decision:
    kind = field.type_name.replace("_", "-")
    return Decision(
        field.name, kind, reason, field, odd or {}, unlike_numbers or {}
    )
