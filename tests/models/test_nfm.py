"""Tests of NFM alone; `test_conformance` has those of every model."""

import numpy as np

import deepfm_tf

SCHEMA = deepfm_tf.Schema(
    tuple(
        deepfm_tf.CategoricalField(name, vocabulary_size=4) for name in "abc"
    ),
    label="y",
)
IDS = {"ids": np.array([[1, 2, 3], [0, 0, 2]], "int32")}


def test_without_hidden_layers_and_summed_up_it_is_fm():
    # [He and Chua, 2017], section 3.1: NFM-0 with h = (1, ..., 1) is FM.
    model = deepfm_tf.NFM(SCHEMA, embedding_dim=3, hidden_units=())
    machine = deepfm_tf.FM(SCHEMA, embedding_dim=3)
    for name in ("shared_embedding", "linear_term"):
        machine.get_layer(name).set_weights(model.get_layer(name).get_weights())
    model.dense_pyramid.set_weights([np.ones((3, 1)), np.zeros(1)])

    probability = model(IDS)["probability"]

    np.testing.assert_allclose(
        probability, machine(IDS)["probability"], rtol=1e-6
    )


def test_the_pooled_interactions_are_dropped_too():
    deepfm_tf.set_seed(0)
    model = deepfm_tf.NFM(SCHEMA, hidden_units=(), dropout=0.9)
    model.shared_embedding.embeddings.assign(np.ones((12, 11)))

    whole = model(IDS, training=False)["probability"]
    dropped = model(IDS, training=True)["probability"]

    assert np.abs(np.subtract(whole, dropped)).max() > 1e-3


def test_the_default_is_the_papers_one_layer():
    model = deepfm_tf.NFM(SCHEMA, batch_normalization=False)

    shapes = [w.shape for w in model.dense_pyramid.weights]

    assert shapes == [(10, 64), (64,), (64, 1), (1,)]
