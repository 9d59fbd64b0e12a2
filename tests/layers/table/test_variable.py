"""The rows of a batch, and which of them get a gradient."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers.table.rows import TableRows
from deepfm_tf.layers.table.variable import gather_rows

# Blocks of 2 and 1 rows: an id column, and a number without a row for missing
# values.
ROWS = TableRows((0,), (2,), (), 3)


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        (np.zeros((0, 1), "int32"), np.zeros((0, 1), "float32")),
        (np.array([[-1], [-1]]), np.full((2, 1), np.nan, "float32")),
    ],
    ids=["no example", "nothing but gaps"],
)
@pytest.mark.parametrize("is_graph", [False, True])
def test_a_batch_that_nothing_contributes_to_touches_no_row(
    ids, values, is_graph
):
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    def step():
        with tf.GradientTape() as tape:
            vectors = gather_rows(table, ROWS, ids, values)
        return vectors, tape.gradient(vectors, table)

    if is_graph:
        step = tf.function(step, autograph=False)
    vectors, gradient = step()

    assert gradient.indices.shape == (0,)
    assert gradient.values.shape == (0, 2)
    np.testing.assert_array_equal(vectors, np.zeros((len(ids) + 1, 2)))


def test_what_contributes_is_read_and_gets_its_gradient():
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    with tf.GradientTape() as tape:
        vectors = gather_rows(
            table, ROWS, np.array([[1]]), np.array([[0.5]], "float32")
        )
    gradient = tape.gradient(vectors, table, tf.constant([[1.0, 0], [0, 7]]))

    assert vectors.numpy().tolist() == [[3, 4], [5, 6]]
    assert gradient.indices.numpy().tolist() == [1, 2]
    assert gradient.values.numpy().tolist() == [[1, 0], [0, 7]]
