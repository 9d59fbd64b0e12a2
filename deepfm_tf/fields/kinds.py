"""The kinds of fields (columns) that a Schema can hold."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from deepfm_tf.errors import UserError
from deepfm_tf.fields.encoding import check_encodings
from deepfm_tf.fields.field import (
    Field,
    as_tuple,
    check_choice,
    check_positive,
    is_number,
)

__all__ = [
    "FIELD_TYPES",
    "BucketizedField",
    "CategoricalField",
    "Field",
    "MultiValuedField",
    "NumericField",
    "TimestampField",
]

SCALINGS = ("none", "standardize", "log")
BUCKET_METHODS = ("quantiles", "boundaries", "log_square")
POOLINGS = ("sum", "mean", "attention")
KEPT_ENDS = ("first", "last")
TIME_PARTS = ("hour", "weekday", "is_weekend")


@dataclasses.dataclass(frozen=True)
class CategoricalField(Field):
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
        encodings: some of `"count"` and `"target_mean"`, given to the model
            as numbers beside the id: how often the value occurs in the
            training data, and its smoothed click rate. They tell values
            apart that are too rare for an id (see `ValueEncodings`). Defaults
            to none.

    Example:

    >>> CategoricalField("site", min_count=10).name
    'site'
    """

    type_name: ClassVar[str] = "categorical"

    min_count: int = 2
    max_vocabulary_size: int | None = None
    hash_buckets: int | None = None
    missing: str = "value"
    share_with: str | None = None
    vocabulary_size: int | None = None
    encodings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encodings", as_tuple(self.encodings))
        check_encodings(self)


@dataclasses.dataclass(frozen=True)
class NumericField(Field):
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
    is_text: ClassVar[bool] = False

    scaling: str = "standardize"
    missing: str = "value"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "scaling", SCALINGS)

    @property
    def num_ids(self) -> int:
        """None: its value stands in the packed `values`."""
        return 0

    @property
    def needed_statistics(self) -> tuple[str, ...]:
        """What `"standardize"` scales by."""
        return ("mean", "std") if self.scaling == "standardize" else ()

    @property
    def vocabulary_size(self) -> int:
        """Rows in the table: the value's vector and, if asked, missing's."""
        return 2 if self.missing == "value" else 1


@dataclasses.dataclass(frozen=True)
class BucketizedField(Field):
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
        encodings: as for a categorical field, of the buckets. Neighbouring
            buckets know nothing of each other by their ids; their click
            rates are numbers, and lie side by side.

    Example:

    >>> BucketizedField("age", "boundaries", boundaries=(18, 40, 65)).method
    'boundaries'
    """

    type_name: ClassVar[str] = "bucketized"
    is_text: ClassVar[bool] = False

    method: str = "quantiles"
    num_buckets: int = 10
    boundaries: tuple[float, ...] = ()
    min_count: int = 2
    missing: str = "value"
    vocabulary_size: int | None = None
    encodings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encodings", as_tuple(self.encodings))
        check_encodings(self)
        check_choice(self, "method", BUCKET_METHODS)
        boundaries = as_tuple(self.boundaries)
        object.__setattr__(self, "boundaries", boundaries)
        if (self.method == "boundaries") != bool(boundaries):
            raise UserError(
                f"Field '{self.name}': `boundaries` belongs to "
                "method='boundaries' and must then hold at least one number. "
                f"Received: method={self.method!r}, boundaries={boundaries}."
            )
        finite = all(is_number(b) and math.isfinite(b) for b in boundaries)
        if not finite or any(
            a >= b for a, b in zip(boundaries, boundaries[1:], strict=False)
        ):
            raise UserError(
                f"Field '{self.name}': `boundaries` must be finite numbers in "
                f"strictly ascending order. Received: {boundaries}."
            )
        check_positive(self, "num_buckets", least=2)

    @property
    def has_boundaries(self) -> bool:
        """Whether boundaries say what a bucket is, and not a formula."""
        return self.method != "log_square"

    @property
    def is_counted(self) -> bool:
        """Whether buckets come from a formula, and rare ones become OOV."""
        return not self.has_boundaries

    @property
    def needed_statistics(self) -> tuple[str, ...]:
        """The boundaries, given or found."""
        return ("boundaries",) if self.has_boundaries else ()


@dataclasses.dataclass(frozen=True)
class MultiValuedField(Field):
    """A column holding several values at once, such as `Action|Comedy`.

    Empty parts are dropped, the first or the last `max_length` values are
    kept, in their order, and their vectors are pooled into one. Padding
    contributes nothing.

    Args:
        name: str. The column's name.
        separator: str. What stands between two values.
        max_length: int. Values kept per example. Defaults to 8.
        keep: `"first"` or `"last"`: which of more than `max_length` values
            are kept. `"last"` is for histories whose latest value stands
            last. Defaults to `"first"`.
        candidate: str or None. For `"attention"`, the categorical or
            multi-valued field that says what is offered. History and
            candidate best have the same vectors: let the history
            `share_with` it.
        pooling: `"sum"`; `"mean"`: the sum divided by the number of
            values (by the sum of the weights where there are weights); or
            `"attention"`: each value's vector weighed by what it means to
            `candidate`, and these added up (see `layers.TargetAttention`).
            The first-order weights are then pooled by mean.
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
    >>> history = MultiValuedField(
    ...     *("seen", "|", 50), keep="last", pooling="attention",
    ...     candidate="item", share_with="item"
    ... )
    >>> history.candidate
    'item'
    """

    type_name: ClassVar[str] = "multi_valued"

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
    keep: str = "first"
    candidate: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "pooling", POOLINGS)
        check_choice(self, "keep", KEPT_ENDS)
        check_positive(self, "max_length")
        for name in ("separator", "weight_separator"):
            value = getattr(self, name)
            if value is None and name == "weight_separator":
                continue
            if not isinstance(value, str) or not value:
                raise UserError(
                    f"Field '{self.name}': `{name}` must be a non-empty "
                    f"string. Received: {name}={value!r}."
                )
        self._check_attention()
        if self.separator == self.weight_separator:
            raise UserError(
                f"Field '{self.name}': `separator` and `weight_separator` "
                f"must differ. Received: {self.separator!r} for both."
            )

    def _check_attention(self) -> None:
        if (self.pooling == "attention") != (self.candidate is not None):
            raise UserError(
                f"Field '{self.name}': `candidate` must name a field where, "
                "and only where, pooling='attention'. Received: "
                f"pooling={self.pooling!r}, candidate={self.candidate!r}."
            )
        if self.candidate is not None and self.weight_separator is not None:
            raise UserError(
                f"Field '{self.name}': `weight_separator` must be None with "
                "pooling='attention', which finds the weights itself. "
                f"Received: weight_separator={self.weight_separator!r}."
            )

    @property
    def num_ids(self) -> int:
        """As many as values are kept."""
        return self.max_length

    @property
    def has_one_id(self) -> bool:
        """Never: it may hold several values, or none."""
        return False


@dataclasses.dataclass(frozen=True)
class TimestampField(Field):
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

    >>> TimestampField("seen_at", parts=("hour", "weekday")).num_ids
    2
    """

    type_name: ClassVar[str] = "timestamp"
    is_time: ClassVar[bool] = True

    parts: tuple[str, ...] = TIME_PARTS
    missing: str = "value"
    vocabulary_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
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
    def num_ids(self) -> int:
        """One for each part."""
        return len(self.parts)

    @property
    def has_one_id(self) -> bool:
        """Never: missing is an id of the first part alone."""
        return False


FIELD_TYPES: dict[str, type[Field]] = {
    cls.type_name: cls
    for cls in (
        CategoricalField,
        NumericField,
        BucketizedField,
        MultiValuedField,
        TimestampField,
    )
}
