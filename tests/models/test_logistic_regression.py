"""Tests of logistic regression alone; see also `test_conformance`."""

import numpy as np

import deepfm_tf

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("a", vocabulary_size=3),
        deepfm_tf.NumericField("x", scaling="none"),
    ),
    label="y",
)


def test_untrained_it_knows_nothing():
    model = deepfm_tf.LogisticRegression(SCHEMA)

    probability = model(
        {"ids": np.array([[2], [-1]]), "values": np.array([[7.0], [np.nan]])}
    )["probability"]

    np.testing.assert_array_equal(probability, [[0.5], [0.5]])


def test_one_step_of_sgd_is_that_worked_out_by_hand():
    model = deepfm_tf.LogisticRegression(SCHEMA)
    deepfm_tf.compile_model(model, "sgd", learning_rate=0.1)
    packed = {"ids": np.array([[1], [2]]), "values": np.array([[4.0], [-2.0]])}
    dataset = deepfm_tf.dataset_from_ids(packed, [1, 1], SCHEMA, 2)

    model.fit(dataset, epochs=1, verbose=0, shuffle=False)

    # p - y = -1/2 for both; the mean gradient of weight i is -1/4 sum x_i.
    step = 0.1 / 4
    np.testing.assert_allclose(model.linear_term.bias, 2 * step, rtol=1e-6)
    np.testing.assert_allclose(
        model.linear_term.first_order.embeddings[:, 0],
        [0.0, step, step, (4.0 - 2.0) * step, 0.0],
        rtol=1e-6,
    )
