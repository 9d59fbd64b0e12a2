"""Where fields stand in the packed inputs, counted by hand."""

from deepfm_tf.fields import (
    BucketizedField,
    CategoricalField,
    MultiValuedField,
    NumericField,
    TimestampField,
)
from deepfm_tf.packed_layout import PackedLayout

# Numeric fields stand last, whatever their place in the schema.
FIELDS = (
    NumericField("price"),
    CategoricalField("site"),
    MultiValuedField(
        "tags", max_length=3, weight_separator=":", pooling="mean"
    ),
    TimestampField("seen_at", parts=("hour", "weekday")),
    MultiValuedField("genres", max_length=2, weight_separator=":"),
    NumericField("age"),
    BucketizedField("count"),
)


def test_fields_with_ids_come_before_numbers():
    names = [field.name for field in PackedLayout(FIELDS).fields]

    assert names == "site tags seen_at genres count price age".split()


def test_each_field_has_its_own_columns():
    layout = PackedLayout(FIELDS)

    found = {field.name: layout.columns(field.name) for field in FIELDS}

    assert found == {
        "site": {"ids": slice(0, 1)},
        "tags": {"ids": slice(1, 4), "weights": slice(0, 3)},
        "seen_at": {"ids": slice(4, 6)},
        "genres": {"ids": slice(6, 8), "weights": slice(3, 5)},
        "count": {"ids": slice(8, 9)},
        "price": {"values": slice(0, 1)},
        "age": {"values": slice(1, 2)},
    }
    assert layout.place("genres") == ("ids", slice(6, 8))
    assert layout.place("age") == ("values", slice(1, 2))
    assert layout.widths == {"ids": 9, "weights": 5, "values": 2}


def test_each_column_knows_its_field_its_weight_and_its_pooling():
    layout = PackedLayout(FIELDS)

    fields, weights = layout.column_fields, layout.weight_columns

    assert fields.tolist() == [0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6]
    # 5 is the column of ones behind the five weights.
    assert weights.tolist() == [5, 0, 1, 2, 5, 5, 3, 4, 5]
    assert layout.is_in_mean.nonzero()[0].tolist() == [1, 2, 3]


def test_some_of_the_fields_stand_as_if_there_were_no_others():
    layout = PackedLayout(f for f in FIELDS if f.name in ("genres", "age"))

    assert layout.widths == {"ids": 2, "weights": 2, "values": 1}
    assert layout.columns("genres")["weights"] == slice(0, 2)


def test_inputs_that_no_field_needs_are_not_there():
    assert PackedLayout([NumericField("x")]).widths == {"values": 1}
    assert PackedLayout([CategoricalField("x")]).widths == {"ids": 1}
