"""What an epoch leaves of variables, in files."""

import keras
import numpy as np

from deepfm_tf.callbacks.epoch_values import (
    read_values,
    variables_of,
    write_shared,
    write_values,
)
from deepfm_tf.row_shards import RowShards


def test_other_weights_are_written_in_place_of_a_models_own(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    table = model.layers[-1].kernel
    table.row_shards, table.num_rows = RowShards(0, 1), 3
    mean = [np.arange(6.0, dtype="float32").reshape(3, 2), np.float32([7, 8])]

    shared = write_shared(tmp_path, "mean.npz", model, mean)
    write_values(tmp_path / "mean.npz", model, mean)

    model.optimizer.learning_rate.assign(0.5)
    read_values(tmp_path / "mean.npz", shared, model, variables_of(model))
    for weight, expected in zip(model.get_weights(), mean, strict=True):
        np.testing.assert_array_equal(weight, expected)
    # The optimizer's are its own, of when they were written.
    assert float(model.optimizer.learning_rate) == np.float32(0.01)
