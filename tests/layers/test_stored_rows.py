"""Rows of a table are written on every device that has a copy."""

import keras
import numpy as np

from deepfm_tf import create_strategy
from deepfm_tf.layers.stored_rows import read_rows, write_rows


def test_rows_are_written_on_all_devices_and_no_others_are():
    strategy = create_strategy(2)
    with strategy.scope():
        table = keras.Variable(np.arange(8.0).reshape(4, 2))

    write_rows(table, np.array([3, 1]), np.array([[9.0, 8.0], [7.0, 6.0]]))

    copies = strategy.experimental_local_results(table.value)
    assert len(copies) == 2
    for copy in copies:
        assert copy.numpy().tolist() == [[0, 1], [7, 6], [4, 5], [9, 8]]
    assert read_rows(table, np.array([2, 3])).tolist() == [[4, 5], [9, 8]]
