"""How a schema lies in the one table, by hand."""

import pytest

import deepfm_tf
from deepfm_tf.models.shared_table import factor_blocks, table_arguments

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.NumericField("x", missing="nothing"),
        deepfm_tf.MultiValuedField("t", max_length=3, vocabulary_size=4),
        deepfm_tf.NumericField("z"),
        deepfm_tf.CategoricalField("u", share_with="t", vocabulary_size=4),
    ),
    label="y",
)


def test_fields_with_ids_come_first_and_sharers_own_no_rows():
    assert table_arguments(SCHEMA) == {
        "vocabulary_sizes": (4, 1, 2),
        "columns_per_field": (3, 1, 1, 1),
        "field_tables": (0, 0, 1, 2),
    }


def test_the_row_of_missing_goes_to_its_fields_block():
    # The rows of x and z, then z's row for missing values.
    assert factor_blocks(SCHEMA) == [0, 1, 1]


def test_anything_but_a_schema_is_refused():
    with pytest.raises(TypeError, match="`schema` must be a Schema"):
        table_arguments(SCHEMA.fields)
