"""What the signatures compute is what the model computes."""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.export.scoring import is_always_present, make_score
from deepfm_tf.layers import FirstOrderBias
from tests.calibration.test_calibration import CALIBRATIONS, by_the_equation
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


@pytest.fixture(scope="module")
def sampled(vocabulary):
    """A model that saw a tenth of the negatives, rows, their true odds."""
    share = 0.1
    model = build("FM", vocabulary.schema, negative_sampling=share)
    randomize(model)
    packed = deepfm_tf.encode(make_log(20, seed=4), vocabulary)
    of_sample = model(packed, training=True)["probability"].numpy()[:, 0]
    odds = share * of_sample.astype(np.float64) / (1 - of_sample)
    return model, packed, odds


@pytest.mark.parametrize("name", ["FM", "of one's own"])
@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibration_follows_the_correction_for_sampled_negatives(
    method, name, sampled, monkeypatch
):
    model, packed, odds = sampled
    if name != "FM":
        monkeypatch.setattr(type(model), "has_pairs", False)
    calibration = deepfm_tf.calibration.Calibration(
        method, CALIBRATIONS[method]
    )

    scores = make_score(model, calibration=calibration)(packed)

    expected = [by_the_equation(method, z) for z in np.log(odds)]
    assert model.can_be_taken_apart == (name == "FM")
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


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

    scores = make_score(model, assume_all_present=True)(packed)

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

    assert is_always_present(schema) == complete
    assert is_always_present(schema, ["a"])


def test_a_model_of_ones_own_is_called_as_a_whole(vocabulary):
    model = build("FM", vocabulary.schema)
    whole = deepfm_tf.CTRModel(
        vocabulary.schema,
        {"values": model.input["values"]},
        FirstOrderBias()(model.input["values"]),
    )

    scores = make_score(whole)({"values": np.zeros((2, 1), np.float32)})

    assert model.can_be_taken_apart and not whole.can_be_taken_apart
    np.testing.assert_array_equal(scores, [0.5, 0.5])
