"""The kinds of fields (columns) that a Schema can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Union

from deepfm_tf.errors import UserError, UserTypeError

MISSING_CHOICES = ("value", "nothing")
SCALINGS = ("none", "standardize", "log")
BUCKET_METHODS = ("quantiles", "boundaries", "log_square")
POOLINGS = ("sum", "mean")
TIME_PARTS = ("hour", "weekday", "is_weekend")
# Ids and rows of the shared table are numbered in 32 bits.
MAX_ROWS = 2**31 - 1
# OOV and missing stand before the buckets.
MAX_HASH_BUCKETS = MAX_ROWS - 2


@dataclasses.dataclass(frozen=True)
class CategoricalField:
    """A column whose values are names: site, advertiser, hour of day.

    Values are compared as text, so `"007"` and `"7"` differ and numbers may
    be longer than 64 bits. Whatever type stores a value, its text is the same
    (see `raw_values`). Where all values of the training data are whole
    numbers, `7.0` is read as `7`, since pandas writes integers beside a gap so.
    Id 0 of the field is out-of-vocabulary (OOV).

    Args:
        name: str. The column's name.
        min_count: int. A value that occurs less often in the training data
            becomes OOV. Defaults to 2: a value seen once teaches nothing of
            its own, and without any such value the OOV row is never trained.
        max_vocabulary_size: int or None. Keeps the most frequent values
            only, so that `vocabulary_size` (OOV included) stays within it.
        hash_buckets: int or None. Hash the values into this many ids
            instead of counting them, for ids too many to count. The shared
            table has at most 2^31 - 1 rows, those of all fields together.
        missing: `"value"` (missing is a value of its own) or `"nothing"`
            (a missing value contributes nothing to any term).
        share_with: str or None. The field whose vocabulary and rows of the
            shared table this one uses too; both are counted together, with
            the other field's settings.
        vocabulary_size: int or None. Number of ids, OOV included. Filled in
            by the fitted vocabulary; set it only when you bring your own ids.

    Example:

    >>> CategoricalField("site", min_count=10).name
    'site'
    """

    type_name: ClassVar[str] = "categorical"

    name: str
    min_count: int = 2
    max_vocabulary_size: int | None = None
    hash_buckets: int | None = None
    missing: str = "value"
    share_with: str | None = None
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        _check_field(self)


@dataclasses.dataclass(frozen=True)
class NumericField:
    """A column of numbers, embedded as value times vector (FM's `x_i v_i`).

    Args:
        name: str. The column's name.
        scaling: `"none"`; `"standardize"`, `(x - mean) / std` of the
            training data; or `"log"`, `sign(x) log(1 + |x|)`, which takes
            negative numbers.
        missing: `"value"` (missing has a vector of its own, taken once) or
            `"nothing"` (contributes nothing).

    Example:

    >>> NumericField("age", scaling="standardize").missing
    'value'
    """

    type_name: ClassVar[str] = "numeric"

    name: str
    scaling: str = "standardize"
    missing: str = "value"

    def __post_init__(self) -> None:
        _check_field(self)
        _check_choice(self, "scaling", SCALINGS)

    @property
    def vocabulary_size(self) -> int:
        """Rows in the table: the value's vector and, if asked, missing's."""
        return 2 if self.missing == "value" else 1


@dataclasses.dataclass(frozen=True)
class BucketizedField:
    """A column of numbers cut into buckets, which then are categories.

    Args:
        name: str. The column's name.
        method: `"quantiles"`, `num_buckets` buckets holding about as many
            training rows each, a value of more rows one of its own;
            `"boundaries"`, the given ones, where bucket
            i holds `boundaries[i - 1] <= x < boundaries[i]`; or
            `"log_square"`, `floor(ln(x)^2)` for x > 2, else `floor(x)` (the
            rule of the Criteo challenge's winners).
        num_buckets: int. For `"quantiles"`. Defaults to 10.
        boundaries: ascending numbers, for `"boundaries"`.
        min_count: int. For `"log_square"`: rarer buckets become OOV.
        missing: `"value"` or `"nothing"`, as for a categorical field.
        vocabulary_size: int or None. Filled in by the fitted vocabulary.

    Example:

    >>> BucketizedField("age", "boundaries", boundaries=(18, 40, 65)).method
    'boundaries'
    """

    type_name: ClassVar[str] = "bucketized"

    name: str
    method: str = "quantiles"
    num_buckets: int = 10
    boundaries: tuple[float, ...] = ()
    min_count: int = 2
    missing: str = "value"
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        _check_field(self)
        _check_choice(self, "method", BUCKET_METHODS)
        boundaries = as_tuple(self.boundaries)
        object.__setattr__(self, "boundaries", boundaries)
        if (self.method == "boundaries") != bool(boundaries):
            raise UserError(
                f"Field '{self.name}': `boundaries` belongs to "
                "method='boundaries' and must then hold at least one number. "
                f"Received: method={self.method!r}, boundaries={boundaries}."
            )
        finite = all(_is_number(b) and math.isfinite(b) for b in boundaries)
        if not finite or any(
            a >= b for a, b in zip(boundaries, boundaries[1:], strict=False)
        ):
            raise UserError(
                f"Field '{self.name}': `boundaries` must be finite numbers in "
                f"strictly ascending order. Received: {boundaries}."
            )
        _check_positive(self, "num_buckets", least=2)


@dataclasses.dataclass(frozen=True)
class MultiValuedField:
    """A column holding several values at once, such as `Action|Comedy`.

    Empty parts are dropped, the first `max_length` values are kept, and
    their vectors are pooled into one. Padding contributes nothing.

    Args:
        name: str. The column's name.
        separator: str. What stands between two values.
        max_length: int. Values kept per example. Defaults to 8.
        pooling: `"sum"`, or `"mean"`: the sum divided by the number of
            values (by the sum of the weights where there are weights).
        weight_separator: str or None. Where values carry weights, as in
            `a:0.3|b:1`, what stands before the weight (here `":"`). A value
            without a weight has weight 1.
        min_count: int. As for a categorical field.
        max_vocabulary_size: int or None. As for a categorical field.
        hash_buckets: int or None. As for a categorical field.
        missing: `"nothing"` (no value contributes nothing) or `"value"`.
        share_with: str or None. As for a categorical field.
        vocabulary_size: int or None. Filled in by the fitted vocabulary.

    Example:

    >>> MultiValuedField("genres", separator="|", pooling="mean").max_length
    8
    """

    type_name: ClassVar[str] = "multi_valued"

    name: str
    separator: str = "|"
    max_length: int = 8
    pooling: str = "sum"
    weight_separator: str | None = None
    min_count: int = 2
    max_vocabulary_size: int | None = None
    hash_buckets: int | None = None
    missing: str = "nothing"
    share_with: str | None = None
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        _check_field(self)
        _check_choice(self, "pooling", POOLINGS)
        _check_positive(self, "max_length")
        for name in ("separator", "weight_separator"):
            value = getattr(self, name)
            if value is None and name == "weight_separator":
                continue
            if not isinstance(value, str) or not value:
                raise UserError(
                    f"Field '{self.name}': `{name}` must be a non-empty "
                    f"string. Received: {name}={value!r}."
                )
        if self.separator == self.weight_separator:
            raise UserError(
                f"Field '{self.name}': `separator` and `weight_separator` "
                f"must differ. Received: {self.separator!r} for both."
            )


@dataclasses.dataclass(frozen=True)
class TimestampField:
    """A column of times, of which the hour and the day of the week matter.

    Each part of the time is an id with an embedding of its own; their vectors
    are summed. The parts of a text such as `2024-01-31 23:59:59.5+01:00`, of
    which the time of day, the fraction and the zone may be absent, are those
    that are written, whatever the zone; those of a number, the seconds since
    1970 as whole seconds, milli-, micro- or nanoseconds, are UTC's. So the
    same moment must be written alike in training and serving. Reading data,
    what is no time is an error; in a served model it counts as missing.

    Args:
        name: str. The column's name.
        parts: some of `"hour"` (0 to 23), `"weekday"` (Monday is 0) and
            `"is_weekend"` (Saturday, Sunday).
        missing: `"value"` or `"nothing"`, as for a categorical field.
        vocabulary_size: int or None. Filled in by the fitted vocabulary.

    Example:

    >>> TimestampField("seen_at", parts=("hour", "weekday")).max_length
    2
    """

    type_name: ClassVar[str] = "timestamp"

    name: str
    parts: tuple[str, ...] = TIME_PARTS
    missing: str = "value"
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        _check_field(self)
        parts = as_tuple(self.parts)
        object.__setattr__(self, "parts", parts)
        if (
            not parts
            or any(part not in TIME_PARTS for part in parts)
            or len(set(parts)) < len(parts)
        ):
            raise UserError(
                f"Field '{self.name}': `parts` must be some of "
                f"{', '.join(map(repr, TIME_PARTS))}, each once. Received: "
                f"parts={parts!r}."
            )

    @property
    def max_length(self) -> int:
        """Id columns: one for each part."""
        return len(self.parts)


Field = Union[  # noqa: UP007 - evaluated at import on Python 3.10 too
    CategoricalField,
    NumericField,
    BucketizedField,
    MultiValuedField,
    TimestampField,
]
FIELD_TYPES: dict[str, type] = {
    cls.type_name: cls
    for cls in (
        CategoricalField,
        NumericField,
        BucketizedField,
        MultiValuedField,
        TimestampField,
    )
}


def check_num_rows(fields: Sequence[Field]) -> None:
    """Raise a UserError if the rows that fields own cannot be numbered."""
    num_rows = {
        f.name: f.vocabulary_size or getattr(f, "hash_buckets", None) or 0
        for f in fields
    }
    total = sum(num_rows.values())
    if total > MAX_ROWS:
        largest = max(num_rows, key=lambda name: num_rows[name])
        raise UserError(
            f"The shared table must have at most {MAX_ROWS} rows, those of "
            f"all fields together. Received: {total}, of which "
            f"{num_rows[largest]} for '{largest}'. Lower its `hash_buckets` "
            "or `max_vocabulary_size`.",
            argument="fields",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_tuple(value: Any) -> tuple:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise UserTypeError(
            "Lists of a schema (fields, labels, boundaries) must be tuples or "
            f"lists. Received: {value!r}."
        )
    return tuple(value)


def _check_choice(field: Any, name: str, allowed: Sequence[str]) -> None:
    value = getattr(field, name)
    if value not in allowed:
        raise UserError(
            f"Field '{field.name}': `{name}` must be one of "
            f"{', '.join(map(repr, allowed))}. Received: {name}={value!r}."
        )


def _check_positive(field: Any, name: str, least: int = 1) -> None:
    value = getattr(field, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(
            f"Field '{field.name}': `{name}` must be an integer of at least "
            f"{least}. Received: {name}={value!r}."
        )


def _check_at_most(field: Any, name: str, most: int) -> None:
    value = getattr(field, name, None)
    if value is not None and value > most:
        raise UserError(
            f"Field '{field.name}': `{name}` must be at most {most}, as ids "
            f"have 32 bits. Received: {name}={value}.",
            argument=name,
        )


def _check_field(field: Any) -> None:
    if not isinstance(field.name, str) or not field.name:
        raise UserError(
            "A field's `name` must be a non-empty string. Received: "
            f"name={field.name!r}."
        )
    _check_choice(field, "missing", MISSING_CHOICES)
    for name, least in (
        ("min_count", 1),
        ("max_vocabulary_size", 2),
        ("hash_buckets", 1),
    ):
        if getattr(field, name, None) is not None:
            _check_positive(field, name, least)
    _check_at_most(field, "hash_buckets", MAX_HASH_BUCKETS)
    if (
        not isinstance(field, NumericField)
        and field.vocabulary_size is not None
    ):
        _check_positive(field, "vocabulary_size")
        _check_at_most(field, "vocabulary_size", MAX_ROWS)
