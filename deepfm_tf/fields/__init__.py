"""The kinds of fields, and what each asks of its column."""

from deepfm_tf.fields.kinds import (
    FIELD_TYPES,
    TIME_PARTS,
    BucketizedField,
    CategoricalField,
    Field,
    MultiValuedField,
    NumericField,
    TimestampField,
)

__all__ = [
    "BucketizedField",
    "CategoricalField",
    "FIELD_TYPES",
    "Field",
    "MultiValuedField",
    "NumericField",
    "TIME_PARTS",
    "TimestampField",
]
