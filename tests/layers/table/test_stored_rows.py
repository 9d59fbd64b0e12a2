"""Rows of a table are written on every device that has a copy."""

import keras
import numpy as np

from deepfm_tf import create_strategy
from deepfm_tf.layers.table.stored_rows import (
    read_rows,
    write_first_columns,
    write_rows,
)
from deepfm_tf.row_shards import RowShards


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


def test_the_first_columns_of_rows_are_set_where_they_are_held():
    whole = keras.Variable(np.zeros((5, 3)))
    parts = [keras.Variable(np.zeros((3, 3))) for _ in range(2)]
    for number, part in enumerate(parts):
        part.row_shards = RowShards(number, 2)
    rows, values = np.array([3, 0]), np.array([[1.0, 2.0], [3.0, 4.0]])

    for table in (whole, *parts):
        write_first_columns(table, rows, values.astype("float32"))

    expected = np.zeros((5, 3))
    expected[3, :2], expected[0, :2] = (1, 2), (3, 4)
    np.testing.assert_array_equal(whole, expected)
    # Row r is with worker r % 2, at r // 2; the last place is nobody's.
    np.testing.assert_array_equal(parts[0], expected[[0, 2, 4]])
    np.testing.assert_array_equal(parts[1][:2], expected[[1, 3]])
