"""The numbers that a field's values bring, as fields of the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from deepfm_tf.errors import UserError
from deepfm_tf.fields.field import Field

ENCODINGS = ("count", "target_mean")


@dataclasses.dataclass(frozen=True)
class EncodingField(Field):
    """A number that is looked up by a field's value, or by its bucket.

    No column of the data: a field with `encodings` brings its own.

    Args:
        name: str.
        source: str. The categorical or bucketized field.
        encoding: `"count"` or `"target_mean"`.
    """

    type_name: ClassVar[str] = "encoding"
    is_text: ClassVar[bool] = False

    source: str
    encoding: str
    missing: str = "nothing"
    scaling: str = "encoding"

    @property
    def num_ids(self) -> int:
        """None: it is a number."""
        return 0

    @property
    def vocabulary_size(self) -> int:
        """Rows in the table: the number's vector."""
        return 1

    @property
    def column(self) -> str:
        """The column of that field."""
        return self.source


def encoding_fields(fields: Iterable[Field]) -> tuple[EncodingField, ...]:
    """The numbers that these fields bring, in their order.

    Example:

    >>> from deepfm_tf.fields.kinds import CategoricalField
    >>> field = CategoricalField("C3", encodings=("count", "target_mean"))
    >>> [number.name for number in encoding_fields([field])]
    ['C3 (count)', 'C3 (target mean)']
    """
    return tuple(
        EncodingField(
            f"{field.name} ({encoding.replace('_', ' ')})", field.name, encoding
        )
        for field in fields
        for encoding in field.encodings
    )


def check_encodings(field: Field) -> None:
    """Raise UserError unless a field's `encodings` are some that there are."""
    encodings = field.encodings
    repeated = len(set(encodings)) < len(encodings)
    if repeated or any(name not in ENCODINGS for name in encodings):
        raise UserError(
            f"Field '{field.name}': `encodings` must be some of "
            f"{', '.join(map(repr, ENCODINGS))}, each once. Received: "
            f"encodings={encodings!r}.",
            argument="encodings",
        )
