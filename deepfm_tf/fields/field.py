"""What all kinds of fields have in common, and what their arguments must be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from deepfm_tf.errors import UserError, UserTypeError

MISSING_CHOICES = ("value", "nothing")
# Ids and rows of the shared table are numbered in 32 bits.
MAX_ROWS = 2**31 - 1
# OOV and missing stand before the buckets.
MAX_HASH_BUCKETS = MAX_ROWS - 2


@dataclasses.dataclass(frozen=True)
class Field:
    """What all kinds of fields have in common.

    A kind of field is a frozen dataclass that derives from this one and says
    where it differs. How its values are counted and become ids is in
    `VocabularyCounts`, `Vocabulary.encode` and `GraphLookup`; all others ask
    the properties below.

    Args:
        name: str. The column's name.
    """

    type_name: ClassVar[str]
    # Whether raw values are texts; else they are numbers.
    is_text: ClassVar[bool] = True
    # Whether the texts are times.
    is_time: ClassVar[bool] = False

    name: str

    def __post_init__(self) -> None:
        check_field(self)

    @property
    def num_ids(self) -> int:
        """Id columns in the packed inputs; 0 of a number in `values`."""
        return 1

    @property
    def is_numeric(self) -> bool:
        """Whether it is embedded as value times vector, without ids."""
        return not self.num_ids

    @property
    def is_bucketized(self) -> bool:
        """Whether its raw values are numbers, which become ids."""
        return not (self.is_text or self.is_numeric)

    @property
    def has_one_id(self) -> bool:
        """Whether each value that is there is one id, without a weight."""
        return True

    @property
    def has_weights(self) -> bool:
        """Whether each of its ids has a weight in the packed inputs."""
        return self.weight_separator is not None

    @property
    def pooling(self) -> str:
        """How the vectors of several ids become one: see `POOLINGS`."""
        return "sum"

    @property
    def candidate(self) -> str | None:
        """The field that its values are weighed against, if there is one."""
        return None

    @property
    def separator(self) -> str | None:
        """What stands between two values, where there may be several."""
        return None

    @property
    def weight_separator(self) -> str | None:
        """What stands between a value and its weight, if there are any."""
        return None

    @property
    def missing(self) -> str:
        """`"value"` or `"nothing"`: what a missing value contributes."""
        return "value"

    @property
    def min_count(self) -> int:
        """A value that occurs less often becomes OOV."""
        return 1

    @property
    def max_vocabulary_size(self) -> int | None:
        """The most ids it may have, OOV included."""
        return None

    @property
    def is_counted(self) -> bool:
        """Whether the vocabulary of its values is counted."""
        return self.is_text and not (self.is_time or self.hash_buckets)

    @property
    def hash_buckets(self) -> int | None:
        """How many ids its values are hashed into; None: they are counted."""
        return None

    @property
    def share_with(self) -> str | None:
        """The field whose vocabulary and rows this one uses."""
        return None

    @property
    def vocabulary_size(self) -> int | None:
        """Number of ids, or of a numeric field's rows, once it is known."""
        return None

    @property
    def needed_statistics(self) -> tuple[str, ...]:
        """Statistics of the vocabulary that encoding does not do without."""
        return ()

    @property
    def encodings(self) -> tuple[str, ...]:
        """Numbers that the model is given of its values: see `ENCODINGS`."""
        return ()

    @property
    def column(self) -> str:
        """The column of the data that it is made of."""
        return self.name


def as_tuple(value: Any) -> tuple[Any, ...]:
    """A list or tuple as a tuple."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise UserTypeError(
            "Lists of a schema (fields, labels, boundaries) must be tuples or "
            f"lists. Received: {value!r}."
        )
    return tuple(value)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_choice(field: Any, name: str, allowed: Sequence[str]) -> None:
    """Raise a UserError unless an argument is one of those allowed."""
    value = getattr(field, name)
    if value not in allowed:
        raise UserError(
            f"Field '{field.name}': `{name}` must be one of "
            f"{', '.join(map(repr, allowed))}. Received: {name}={value!r}."
        )


def check_positive(field: Any, name: str, least: int = 1) -> None:
    """Raise a UserError unless an argument is an integer, `least` or more."""
    value = getattr(field, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(
            f"Field '{field.name}': `{name}` must be an integer of at least "
            f"{least}. Received: {name}={value!r}."
        )


def check_field(field: Any) -> None:
    """Raise a UserError unless what all kinds of fields have is right."""
    if not isinstance(field.name, str) or not field.name:
        raise UserError(
            "A field's `name` must be a non-empty string. Received: "
            f"name={field.name!r}."
        )
    check_choice(field, "missing", MISSING_CHOICES)
    for name, least, most in (
        ("min_count", 1, None),
        ("max_vocabulary_size", 2, None),
        ("hash_buckets", 1, MAX_HASH_BUCKETS),
        ("vocabulary_size", 1, MAX_ROWS),
    ):
        value = getattr(field, name)
        if value is None:
            continue
        check_positive(field, name, least)
        if most is not None and value > most:
            raise UserError(
                f"Field '{field.name}': `{name}` must be at most {most}, as "
                f"ids have 32 bits. Received: {name}={value}.",
                argument=name,
            )


def check_num_rows(fields: Sequence[Field]) -> None:
    """Raise a UserError if the rows that fields own cannot be numbered."""
    num_rows = {
        f.name: f.vocabulary_size or f.hash_buckets or 0 for f in fields
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
