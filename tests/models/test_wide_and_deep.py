"""Tests of Wide & Deep alone; `test_conformance` has those of every model."""

import numpy as np

import deepfm_tf

SCHEMA = deepfm_tf.Schema(
    tuple(
        deepfm_tf.CategoricalField(name, vocabulary_size=4) for name in "abc"
    ),
    label="y",
)
IDS = {"ids": np.array([[1, 2, 3], [0, 0, 2]], "int32")}


def test_without_the_deep_output_it_is_logistic_regression():
    random = np.random.default_rng(0)
    model = deepfm_tf.WideAndDeep(SCHEMA)
    linear = deepfm_tf.LogisticRegression(SCHEMA)
    bias, weights = np.array(random.normal()), random.normal(size=(12, 1))
    linear.linear_term.set_weights([bias, weights])
    model.linear_term.set_weights([bias])
    vectors = random.normal(size=(12, 10))
    model.shared_embedding.set_weights([np.hstack([vectors, weights])])
    output = model.dense_pyramid.output_layer
    output.set_weights([np.zeros(w.shape) for w in output.get_weights()])

    probability = model(IDS)["probability"]

    np.testing.assert_allclose(
        probability, linear(IDS)["probability"], rtol=1e-6
    )


def test_the_deep_part_sees_each_field_in_its_place():
    model = deepfm_tf.WideAndDeep(SCHEMA, embedding_dim=1, hidden_units=())
    kernel = np.array([[1.0], [10.0], [100.0]])
    model.dense_pyramid.set_weights([kernel, np.zeros(1)])
    model.shared_embedding.embeddings.assign(
        np.arange(12)[:, np.newaxis] * [0.001, 0.0]
    )

    probability = model({"ids": np.array([[1, 2, 3]])})["probability"]

    logit = 0.001 * 1 + 0.006 * 10 + 0.011 * 100
    np.testing.assert_allclose(
        probability, [[1 / (1 + np.exp(-logit))]], rtol=1e-6
    )
