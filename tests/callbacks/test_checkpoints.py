"""What is kept of a training, epoch by epoch."""

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks import Checkpoints
from tests.catalogue import build


def test_the_best_epoch_can_be_gone_on_with_in_place_of_the_last(tmp_path):
    field = deepfm_tf.CategoricalField("a", vocabulary_size=3)
    model = build("LogisticRegression", deepfm_tf.Schema((field,), "y"))
    deepfm_tf.compile_model(model)
    stopping = keras.callbacks.EarlyStopping(
        "val_log_loss", mode="min", restore_best_weights=True, patience=3
    )
    kept = Checkpoints(tmp_path, stopping)
    for callback in (stopping, kept):
        callback.set_model(model)
        callback.on_train_begin()

    # Weights, steps and losses of two epochs, by hand.
    for epoch, loss in enumerate((0.1, 0.2)):
        model.linear_term.bias.assign(epoch + 5)
        model.optimizer.iterations.assign(epoch + 7)
        for callback in (stopping, kept):
            callback.on_epoch_end(epoch, {"val_log_loss": loss})

    for best, bias, steps in ((False, 6, 8), (True, 5, 7)):
        loaded, epoch = deepfm_tf.load_checkpoint(tmp_path, best)
        assert float(loaded.linear_term.bias) == bias
        assert int(loaded.optimizer.iterations) == steps


def test_a_layer_that_has_adapted_to_data_comes_back(tmp_path):
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(np.array([[2.0], [6.0]]))
    model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    kept = Checkpoints(tmp_path)
    kept.set_model(model)
    kept.on_train_begin()

    kept.on_epoch_end(0, {})

    loaded, _ = deepfm_tf.load_checkpoint(tmp_path)
    # Mean 4, standard deviation 2.
    assert loaded.layers[0](np.array([[8.0]])).numpy() == pytest.approx(2.0)
