"""What each kind of field says of itself."""

import pytest

from deepfm_tf.fields import (
    FIELD_TYPES,
    BucketizedField,
    CategoricalField,
    MultiValuedField,
    NumericField,
    TimestampField,
)

# Field -> its id columns, the properties that are true of it, and the
# statistics that encoding needs.
KINDS = [
    (CategoricalField("a"), 1, "is_text has_one_id is_counted", ()),
    (CategoricalField("a", hash_buckets=9), 1, "is_text has_one_id", ()),
    (NumericField("a"), 0, "is_numeric has_one_id", ("mean", "std")),
    (NumericField("a", scaling="log"), 0, "is_numeric has_one_id", ()),
    (BucketizedField("a"), 1, "is_bucketized has_one_id", ("boundaries",)),
    (
        BucketizedField("a", "log_square"),
        1,
        "is_bucketized has_one_id is_counted",
        (),
    ),
    (MultiValuedField("a", max_length=3), 3, "is_text is_counted", ()),
    (
        MultiValuedField("a", max_length=1, weight_separator=":"),
        1,
        "is_text is_counted has_weights",
        (),
    ),
    (
        TimestampField("a", parts=("hour", "weekday")),
        2,
        "is_text is_time",
        (),
    ),
]
QUESTIONS = (
    "is_text is_time is_numeric is_bucketized is_counted has_one_id has_weights"
).split()


@pytest.mark.parametrize(("field", "num_ids", "true", "statistics"), KINDS)
def test_a_field_answers_for_itself(field, num_ids, true, statistics):
    found = {name for name in QUESTIONS if getattr(field, name)}

    assert found == set(true.split())
    assert field.num_ids == num_ids
    assert field.needed_statistics == statistics


def test_every_kind_of_field_is_asked():
    asked = {type(field) for field, *_ in KINDS}

    assert asked == set(FIELD_TYPES.values())
