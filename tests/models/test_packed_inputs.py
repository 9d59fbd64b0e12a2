"""The inputs of a model, and what its table takes of them."""

import numpy as np

import deepfm_tf
from deepfm_tf.models.packed_inputs import embedding_arguments, packed_inputs
from deepfm_tf.packed_layout import PackedLayout
from tests.models.test_ctr_model import SCHEMA, packed


def test_only_needed_inputs_exist():
    numeric = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), "y")
    categorical = deepfm_tf.Schema(
        (deepfm_tf.CategoricalField("a", vocabulary_size=3),), "y"
    )

    inputs = [packed_inputs(s)[0] for s in (numeric, categorical, SCHEMA)]

    assert [sorted(entry) for entry in inputs] == [
        ["values"],
        ["ids"],
        ["ids", "values", "weights"],
    ]
    assert inputs[2]["ids"].dtype == "int32"


def test_weights_are_spread_over_the_id_columns_and_means_divided_out():
    # a; t, which has weights and a mean; u, which has neither.
    inputs = packed(ids=[[2, 3, 0, -1, 3, -1]], weights=[[0.5, 1.5, np.nan]])

    found = embedding_arguments(PackedLayout(SCHEMA.fields), inputs)

    np.testing.assert_allclose(
        found["weights"], [[1, 0.5 / 2, 1.5 / 2, 0, 1, 0]], rtol=1e-6
    )
    assert found["ids"] is inputs["ids"]
