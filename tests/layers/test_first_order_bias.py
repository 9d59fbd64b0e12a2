"""Tests of the bias beside the shared table's first-order weights."""

import h5py
import keras
import numpy as np
from keras.src.testing import TestCase

from deepfm_tf.layers import FirstOrderBias, LinearTerm, SharedEmbedding


def test_it_adds_the_bias():
    layer = FirstOrderBias()
    layer.build((None, 1))
    layer.bias.assign(0.5)

    np.testing.assert_array_equal(
        layer(np.array([[1.0], [-2.0]])), [[1.5], [-1.5]]
    )


def test_over_a_joint_table_it_is_the_linear_term():
    ids = np.array([[1, 6], [0, -1], [4, 2]])
    weights = np.random.default_rng(0).normal(size=(12, 1)).astype("float32")
    linear = LinearTerm((5, 7))
    linear.build((None, 2))
    linear.set_weights([np.array(0.25), weights])
    embedding = SharedEmbedding((5, 7), embedding_dim=3, first_order=True)
    embedding.build((None, 2))
    embedding.embeddings.assign(np.hstack([np.ones((12, 3)), weights]))
    layer = FirstOrderBias()
    layer.build((None, 1))
    layer.bias.assign(0.25)

    np.testing.assert_allclose(layer(embedding(ids)[1]), linear(ids), rtol=1e-6)


def test_keras_layer_contract_holds():
    TestCase().run_layer_test(
        FirstOrderBias,
        init_kwargs={},
        input_shape=(2, 1),
        expected_output_shape=(2, 1),
        expected_num_trainable_weights=1,
        expected_num_non_trainable_weights=0,
        run_training_check=False,  # Keras would fit it on one example
    )


def test_files_keep_the_weight_where_versions_before_05_put_it(tmp_path):
    linear = keras.Input((1,))
    model = keras.Model(linear, FirstOrderBias(name="linear_term")(linear))
    model.save_weights(tmp_path / "model.weights.h5")

    with h5py.File(tmp_path / "model.weights.h5") as file:
        bias = file["layers/first_order_term/vars/0"][()]

    assert bias == 0.0
