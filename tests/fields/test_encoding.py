"""The numbers that a categorical field brings, as fields."""

import pytest

import deepfm_tf
from deepfm_tf.fields.encoding import encoding_fields

SITE = deepfm_tf.CategoricalField(
    "site", encodings=("count", "target_mean"), vocabulary_size=5
)


def test_numbers_stand_behind_all_fields():
    price = deepfm_tf.NumericField("price")
    hour = deepfm_tf.CategoricalField("hour", encodings=["target_mean"])

    schema = deepfm_tf.Schema((SITE, price, hour), "click")

    assert [f.name for f in schema.embedded_fields] == [
        "site",
        "hour",
        "price",
        "site (count)",
        "site (target mean)",
        "hour (target mean)",
    ]
    assert [f.column for f in encoding_fields(schema.fields)] == [
        "site",
        "site",
        "hour",
    ]


def test_a_schema_with_encodings_is_read_as_it_was_written():
    schema = deepfm_tf.Schema((SITE,), "click")

    text = schema.to_json()

    assert '"encodings": [' in text
    assert deepfm_tf.Schema.from_json(text) == schema


def test_a_schema_without_them_is_written_as_before():
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("a"),), "click")

    assert "encodings" not in schema.to_json()


def test_all_fields_that_have_counts_are_encoded_unless_some_are_named():
    fields = (
        SITE,
        deepfm_tf.BucketizedField("age"),
        deepfm_tf.NumericField("price"),
    )
    schema = deepfm_tf.Schema(fields, "click")

    encoded = schema.with_encodings(["count"])

    assert [f.encodings for f in encoded.fields] == [("count",), ("count",), ()]
    assert schema.with_encodings(["count"], ["age"]).fields[0] == SITE
    with pytest.raises(ValueError, match="'price', which is numeric"):
        schema.with_encodings(["count"], ["price"])


@pytest.mark.parametrize("wrong", [("mean",), ("count", "count")])
def test_other_names_are_refused(wrong):
    with pytest.raises(ValueError, match=r"'site': `encodings` must be some"):
        deepfm_tf.CategoricalField("site", encodings=wrong)


def test_a_column_of_such_a_name_is_refused():
    other = deepfm_tf.NumericField("site (count)")

    with pytest.raises(ValueError, match=r"are named 'site \(count\)'"):
        deepfm_tf.Schema((SITE, other), "click")
