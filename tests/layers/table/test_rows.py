"""From ids to rows of the table, against loops."""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.layers.table.row_pooling import shared_pooling
from deepfm_tf.layers.table.rows import TableRows, shared_rows

# Blocks of 4, 3, 2 and 1 rows; two id columns read the first, the last two are
# of numbers, the third of which has a row for missing values.
LAYOUT = ((0, 0, 4), (7, 9), (0,), 10)


def touched_rows(ids, values):
    """Row -> whether something contributes to it, in the order of rows."""
    rows = [
        (start + max(i, 0), i >= 0)
        for example in ids
        for start, i in zip(LAYOUT[0], example, strict=True)
    ]
    finite = np.isfinite(values)
    for row, column in zip(LAYOUT[1], finite.T, strict=True):
        rows.append((row, column.any()))
    return [*rows, (LAYOUT[1][0] + 1, not finite[:, 0].all())]


def test_ids_read_the_rows_of_their_block():
    ids = np.array([[1, 3, 2], [-1, 0, -7]])

    found = TableRows(*LAYOUT).of_ids(ids)

    np.testing.assert_array_equal(found, [[1, 3, 6], [0, 0, 4]])


@pytest.mark.parametrize("gap", [None, 0, 1], ids=str)
def test_what_contributes_nothing_names_a_row_that_something_does(gap):
    ids = np.array([[1, -1, 2], [3, 0, -1]])
    values = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    if gap is not None:
        values[:, gap] = np.nan

    found = TableRows(*LAYOUT).contributing(ids, values).numpy()

    expected = touched_rows(ids, values)
    largest = max(row for row, counts in expected if counts)
    for row, (own, counts) in zip(found, expected, strict=True):
        assert row == (own if counts else largest)


def test_where_nothing_contributes_no_row_is_named():
    rows = TableRows(*LAYOUT)
    nobody = np.empty((0, 3), "int32"), np.empty((0, 2), "float32")
    somebody = np.array([[0, -1, -1]]), np.array([[1.0, 2.0]], "float32")

    # Two numeric fields, and a row for missing values.
    assert rows.contributing(*nobody).numpy().tolist() == [-1] * 3
    found = rows.contributing(*somebody).numpy().tolist()
    assert found == [0, 9, 9, 7, 9, 9]


def test_a_process_has_one_for_each_layout():
    assert shared_rows(*LAYOUT) is shared_rows(*LAYOUT)
    assert shared_rows(*LAYOUT[:-1], 11) is not shared_rows(*LAYOUT)


def test_a_second_model_of_the_same_fields_compiles_nothing_again(monkeypatch):
    # Of what XLA compiles, our kernels need nothing.
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "off")
    field = deepfm_tf.CategoricalField("a", vocabulary_size=3)
    schema = deepfm_tf.Schema((field,), "y")
    dataset = deepfm_tf.dataset_from_ids(
        {"ids": np.array([[0], [2]])}, [0, 1], schema
    )
    for shared in (shared_rows, shared_pooling):
        shared.cache_clear()

    for _ in range(2):
        model = deepfm_tf.FM(schema, embedding_dim=2)
        deepfm_tf.compile_model(model)
        model.run_eagerly = True  # what XLA compiles is a graph anyway
        model.fit(dataset, verbose=0, shuffle=False)

    pooling = shared_pooling((0,), (), 2, False)
    assert shared_rows.cache_info().misses == 1
    assert shared_pooling.cache_info().misses == 1
    assert pooling.fused_pool.experimental_get_tracing_count() == 1
