"""What the signatures compute is what the model computes."""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.export.scoring import has_terms, is_complete, make_score
from deepfm_tf.layers import FirstOrderTerm
from tests.catalogue import MODELS, build
from tests.conftest import make_log
from tests.test_conformance import randomize


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_models_probabilities(name, vocabulary):
    model = build(name, vocabulary.schema)
    randomize(model)
    packed = deepfm_tf.encode(make_log(20, seed=4), vocabulary)

    scores = make_score(model)(packed)

    expected = model(packed)["probability"][:, 0]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_without_negative_ids_masks_make_no_difference():
    fields = (
        deepfm_tf.CategoricalField("a", vocabulary_size=5),
        deepfm_tf.BucketizedField("b", vocabulary_size=3),
        deepfm_tf.NumericField("c", missing="nothing"),
    )
    model = build("DeepFM", deepfm_tf.Schema(fields, "y"))
    randomize(model)
    packed = {
        "ids": np.array([[0, 2], [4, 1]], np.int32),
        "values": np.array([[np.nan], [2.0]], np.float32),
    }

    scores = make_score(model, complete=True)(packed)

    expected = model(packed)["probability"][:, 0]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "complete"),
    [
        (deepfm_tf.CategoricalField("x"), True),
        (deepfm_tf.CategoricalField("x", missing="nothing"), False),
        (deepfm_tf.BucketizedField("x"), True),
        (deepfm_tf.BucketizedField("x", missing="nothing"), False),
        (deepfm_tf.NumericField("x", missing="nothing"), True),
        (deepfm_tf.MultiValuedField("x", missing="value"), False),
    ],
)
def test_ids_are_complete_where_all_fields_always_have_one(field, complete):
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("a"), field), "y")

    assert is_complete(schema) == complete
    assert is_complete(schema, ["a"])


def test_a_model_of_ones_own_is_called_as_a_whole(vocabulary):
    model = build("FM", vocabulary.schema)
    whole = deepfm_tf.CTRModel(
        vocabulary.schema,
        {"values": model.input["values"]},
        FirstOrderTerm()(model.input["values"]),
    )

    scores = make_score(whole)({"values": np.zeros((2, 1), np.float32)})

    assert has_terms(model) and not has_terms(whole)
    np.testing.assert_array_equal(scores, [0.5, 0.5])
