"""Validation metrics between epochs."""

import types

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks import LearningCurve, ValidationMetrics
from tests.callbacks.as_when_new import as_when_new


def make_data(batch_size, seed=0):
    random = np.random.default_rng(seed)
    ids = random.integers(0, 6, (70, 2), dtype=np.int32)
    label = (ids.sum(axis=1) > random.integers(0, 10, 70)).astype(np.float32)
    return deepfm_tf.dataset_from_ids(
        {"ids": ids}, label, make_schema(), batch_size
    )


def make_schema():
    fields = tuple(
        deepfm_tf.CategoricalField(name, vocabulary_size=6) for name in "ab"
    )
    return deepfm_tf.Schema(fields, label="y")


@pytest.fixture(scope="module")
def new_model():
    """Gives a compiled model as it was when new, but traced only once."""
    keras.utils.set_random_seed(3)
    model = deepfm_tf.DeepFM(make_schema(), hidden_units=(4,), dropout=0.5)
    deepfm_tf.compile_model(model)
    return as_when_new(model)


def fit(model, callbacks, epochs=2, initial_epoch=0):
    model.fit(
        make_data(10),  # 7 steps
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def untraced():
    """A model for what the curve says of any; some steps need no graph."""
    model = deepfm_tf.LogisticRegression(make_schema())
    deepfm_tf.compile_model(model)
    model.run_eagerly = True
    return model


@pytest.fixture(scope="module")
def fitted(new_model, tmp_path_factory):
    """A curve with the file that it wrote, and what was known at its end."""
    path = tmp_path_factory.mktemp("curve") / "curve.json"
    valid = make_data(32, seed=1)
    curve = LearningCurve(valid, every=3, path=path)
    history = {}
    callbacks = [ValidationMetrics(valid), curve]
    callbacks.append(
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: history.update({epoch: {**logs}})
        )
    )
    model = new_model()
    fit(model, callbacks)
    return types.SimpleNamespace(
        curve=curve,
        history=history,
        metrics=deepfm_tf.evaluate(model, valid),
        weights=model.get_weights(),
    )


def test_points_lie_at_every_third_step_and_at_the_ends_of_epochs(fitted):
    points = fitted.curve.points

    assert [(p["step"], p["epoch"]) for p in points] == [
        *((3, 1), (6, 1), (7, 1)),
        *((9, 2), (12, 2), (14, 2)),
    ]
    assert [points[n]["auc"] for n in (2, 5)] == [
        fitted.history[epoch]["val_auc"] for epoch in (0, 1)
    ]


def test_each_point_is_what_evaluate_says_of_the_model_then(fitted):
    *_, last = fitted.curve.points

    assert last["auc"] == fitted.metrics["auc"]
    assert last["log_loss"] == fitted.metrics["log_loss"]
    assert len({p["log_loss"] for p in fitted.curve.points}) == 6


def test_example_weights_count_between_epochs_too():
    valid = make_data(32, seed=1).map(lambda x, y: (x, y, 1.0 + 4.0 * y))
    curve, model = LearningCurve(valid, every=7), untraced()

    fit(model, [curve], epochs=1)

    found = deepfm_tf.evaluate(model, valid)
    assert curve.points[-1]["auc"] == found["auc"]
    assert curve.points[-1]["log_loss"] == found["log_loss"]


def test_it_does_not_change_the_training(fitted, new_model):
    undisturbed = new_model()

    fit(undisturbed, [])

    for one, other in zip(
        fitted.weights, undisturbed.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_run_goes_on_with_the_points_of_whole_epochs(
    fitted, new_model
):
    first = fitted.curve
    curve = LearningCurve(make_data(32, seed=1), 3, first.path)

    # As if it was stopped after the first epoch's checkpoint was written.
    fit(new_model(), [curve], epochs=2, initial_epoch=1)

    assert curve.points[:3] == first.points[:3]
    assert [p["step"] for p in curve.points] == [3, 6, 7, 9, 12, 14]


def test_an_auc_that_is_undefined_is_none():
    rows = {"ids": np.zeros((4, 2), np.int32)}
    data = deepfm_tf.dataset_from_ids(rows, np.ones(4), make_schema(), 4)
    curve = LearningCurve(data, every=7)

    fit(untraced(), [curve], epochs=1)

    assert [p["auc"] for p in curve.points] == [None]


def test_points_lie_where_steps_that_are_taken_together_end():
    curve = LearningCurve(make_data(32, seed=1), every=2)
    model = untraced()
    model.steps_per_execution = 3

    fit(model, [curve], epochs=2)

    # Of the 7 steps of an epoch: 3, 3 and 1. 8 of all is within the fourth.
    assert [p["step"] for p in curve.points] == [3, 6, 7, 10, 13, 14]


def test_every_must_be_positive():
    with pytest.raises(ValueError, match="`every` must be a positive integer"):
        LearningCurve(make_data(10), every=0)
