"""Tests of DeepFM alone; `test_conformance` has those of every model."""

import inspect

import numpy as np

import deepfm_tf

FIELDS = tuple(
    deepfm_tf.CategoricalField(name, vocabulary_size=size)
    for name, size in (("a", 4), ("b", 3), ("c", 5))
)
SCHEMA = deepfm_tf.Schema(FIELDS, label="y")
IDS = {"ids": np.array([[1, 2, 3], [0, 0, 4], [3, 1, 0]], "int32")}


def test_defaults_are_the_books():
    parameters = inspect.signature(deepfm_tf.DeepFM).parameters

    defaults = {name: p.default for name, p in parameters.items()}

    assert defaults["embedding_dim"] == 10
    assert defaults["hidden_units"] == (30, 20, 10)
    assert (defaults["activation"], defaults["dropout"]) == ("relu", 0.1)


def test_one_table_feeds_both_parts():
    model = deepfm_tf.DeepFM(SCHEMA, embedding_dim=2, hidden_units=(4,))

    tables = [w for w in model.weights if w.path.endswith("embeddings")]

    # The latent vectors and, as a last column, the first-order weights.
    assert [tuple(table.shape) for table in tables] == [(12, 3)]
    # 12 rows of 2 + 1, the bias, 6 -> 4 -> 1.
    assert model.count_params() == 12 * 3 + 1 + (6 * 4 + 4) + (4 + 1)


def test_without_the_pyramids_output_it_is_fm():
    model = deepfm_tf.DeepFM(SCHEMA, embedding_dim=2)
    machine = deepfm_tf.FM(SCHEMA, embedding_dim=2)
    for name in ("shared_embedding", "linear_term"):
        machine.get_layer(name).set_weights(model.get_layer(name).get_weights())
    output = model.dense_pyramid.output_layer
    output.set_weights([np.zeros(w.shape) for w in output.get_weights()])

    probability = model(IDS)["probability"]

    np.testing.assert_array_equal(probability, machine(IDS)["probability"])


def test_dropout_acts_in_training_alone():
    deepfm_tf.set_seed(0)
    model = deepfm_tf.DeepFM(SCHEMA, dropout=0.9, hidden_units=(64,))
    whole = model(IDS, training=False)["probability"]

    dropped = model(IDS, training=True)["probability"]

    assert np.abs(np.subtract(whole, dropped)).max() > 1e-3
    np.testing.assert_array_equal(whole, model(IDS)["probability"])


def test_batch_normalization_learns_moving_averages():
    model = deepfm_tf.DeepFM(SCHEMA, batch_normalization=True)

    names = [weight.name for weight in model.non_trainable_weights]

    assert names == ["moving_mean", "moving_variance"] * 3
