"""Evaluation over a whole data set, and the table to compare by."""

import math

import keras
import numpy as np
import pytest
import sklearn.metrics

import deepfm_tf
from deepfm_tf.evaluation import predict_with_labels
from tests.catalogue import build
from tests.conftest import make_log


@pytest.fixture(scope="module")
def model(vocabulary):
    deepfm_tf.set_seed(2)
    model = build("DeepFM", vocabulary.schema, dropout=0.5)
    weights = [
        np.random.default_rng(1).normal(size=w.shape) for w in model.weights
    ]
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("batch_size", [1000, 64, 7])
def test_metrics_are_those_of_all_rows_whatever_the_batch(
    batch_size, model, vocabulary
):
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, batch_size)

    metrics = deepfm_tf.evaluate(model, dataset)

    packed = deepfm_tf.encode(log, vocabulary)
    p = np.array(model(packed, training=False)["probability"], "float64")
    label = log["clicked"]
    assert metrics["rows"] == 300
    # Batches of another size round the last bits otherwise.
    assert metrics["auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(label, p), abs=1e-4
    )
    assert metrics["log_loss"] == pytest.approx(
        sklearn.metrics.log_loss(label, np.clip(p, 1e-7, 1 - 1e-7)), rel=1e-5
    )


def test_two_evaluations_of_a_dropout_model_agree(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(100), vocabulary, 64)

    first, second = (deepfm_tf.evaluate(model, dataset) for _ in range(2))

    assert first == second


def test_labels_and_probabilities_belong_together(model, vocabulary):
    log = make_log(70, 7)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 32)

    label, probability = predict_with_labels(model, dataset)

    packed = deepfm_tf.encode(log, vocabulary)
    np.testing.assert_array_equal(label, log["clicked"])
    np.testing.assert_allclose(
        probability, model(packed)["probability"][:, 0], atol=1e-5
    )


def test_one_class_has_a_log_loss_alone(model, vocabulary):
    log = make_log(20)
    log["clicked"] = 0
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary)

    metrics = deepfm_tf.evaluate(model, dataset)

    assert math.isnan(metrics["auc"])
    assert metrics["log_loss"] > 0


def test_a_diverged_model_is_said_to_be_one(vocabulary):
    model = build("FM", vocabulary.schema)
    model.linear_term.bias.assign(np.nan)
    dataset = deepfm_tf.dataset_from_memory(make_log(20), vocabulary)

    with pytest.raises(ValueError, match="NaN in 20 of 20 rows.*diverged"):
        deepfm_tf.evaluate(model, dataset)


def test_an_empty_data_set_is_refused(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(20), vocabulary).take(0)

    with pytest.raises(ValueError, match="has no rows"):
        deepfm_tf.evaluate(model, dataset)


def test_the_table_leaves_blanks_and_names_the_undefined():
    rows = [
        {"model": "deepfm", "parameters": 12345, "AUC": 0.75, "seconds": 1.25},
        {"model": "bayes", "AUC": math.nan, "seconds": 1234.5},
    ]

    table = deepfm_tf.comparison_table(
        ["model", "parameters", "AUC", "seconds"], rows
    )

    assert table.splitlines() == [
        "model   parameters        AUC  seconds",
        "------  ----------  ---------  -------",
        "deepfm      12,345     0.7500      1.2",
        "bayes               undefined  1,234.5",
    ]


def test_evaluating_leaves_a_compiled_model_trainable(model, vocabulary):
    # `predict` inside `fit`, as the validation callback does.
    dataset = deepfm_tf.dataset_from_memory(make_log(64), vocabulary, 32)
    fresh = build("FM", vocabulary.schema)
    deepfm_tf.compile_model(fresh)

    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            deepfm_tf.evaluate(self.model, dataset)

    fresh.fit(
        dataset, epochs=2, callbacks=[Evaluate()], verbose=0, shuffle=False
    )

    assert fresh.optimizer.iterations == 4
