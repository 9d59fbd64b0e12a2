"""Wrong kinds of models and data sets."""

import keras
import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import CategoricalField, Schema

SCHEMA = Schema((CategoricalField("site", vocabulary_size=3),), "click")
PACKED = {"ids": np.array([[0], [1], [2], [1]])}


@pytest.fixture(scope="module")
def dataset():
    return deepfm_tf.dataset_from_ids(PACKED, [0, 1, 0, 1], SCHEMA)


@pytest.fixture(scope="module")
def model():
    return deepfm_tf.FM(SCHEMA)


@pytest.fixture(scope="module")
def foreign():
    ids = keras.Input((1,), name="ids", dtype="int32")
    return keras.Model({"ids": ids}, keras.layers.Embedding(3, 1)(ids))


TAKE_A_MODEL = [
    deepfm_tf.evaluate,
    deepfm_tf.evaluation.evaluate_stream,
    deepfm_tf.evaluation.predict_with_labels,
    deepfm_tf.explain.permutation_importance,
    deepfm_tf.explain.field_strengths,
    deepfm_tf.explain.top_feature_pairs,
]


@pytest.mark.parametrize("function", TAKE_A_MODEL)
def test_a_model_of_another_kind_is_named(function, dataset, foreign):
    for wrong in (foreign, "model.keras"):
        with pytest.raises(
            deepfm_tf.UserError, match=f"`model` must .*{type(wrong).__name__}"
        ):
            function(wrong, dataset)


@pytest.mark.parametrize("function", TAKE_A_MODEL)
@pytest.mark.parametrize(
    "wrong", [PACKED, pd.DataFrame({"site": ["a"]}), None, "a.csv", 3]
)
def test_what_is_no_data_set_is_named(function, wrong, model):
    with pytest.raises(
        deepfm_tf.UserError,
        match=f"must be a tf.data.Dataset .*: {type(wrong).__name__}. Make one",
    ):
        function(model, wrong)


def test_batches_without_labels_are_named(dataset, model):
    with pytest.raises(TypeError, match="hold batches of .* Received: dict"):
        deepfm_tf.evaluate(model, dataset.map(lambda inputs, label: inputs))


def test_a_model_without_a_schema_is_told_apart_by_no_field(dataset):
    ids = keras.Input((1,), name="ids", dtype="int32")
    table = keras.layers.Embedding(3, 1, "zeros", name="table")
    flat = keras.layers.Flatten()(table(ids))
    half = keras.layers.Activation("sigmoid", name="probability")(flat)
    model = keras.Model({"ids": ids}, {"probability": half})

    with pytest.raises(TypeError, match="of deepfm_tf, to find a field by its"):
        deepfm_tf.evaluate(model, dataset, slice_by=["site"])
    assert deepfm_tf.evaluate(model, dataset)["log_loss"] == pytest.approx(
        np.log(2)
    )


def test_callbacks_refuse_it_before_the_first_epoch():
    with pytest.raises(TypeError, match="`validation` must be a tf.data.Dat"):
        deepfm_tf.training_callbacks(PACKED)


def test_a_calibration_asks_for_numbers(model, dataset):
    with pytest.raises(TypeError, match="`label` must hold one number .* FM"):
        deepfm_tf.calibration.fit_calibration(model, dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"learning_rate": "0.1"},
            '`learning_rate` must .*learning_rate="0.1"',
        ),
        ({"clip_norm": -1.0}, "`clip_norm` must be a positive number"),
    ],
)
def test_options_of_compile_are_numbers(arguments, message, model):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.compile_model(model, **arguments)
