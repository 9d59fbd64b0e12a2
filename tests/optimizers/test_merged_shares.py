"""What replicas have told each other, against numpy's sums."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf import kernels
from deepfm_tf.optimizers import LazyAdam
from deepfm_tf.optimizers.merged_shares import merge_shares

ROWS = 12


def told(shares):
    """As an all-reduce puts them together: (rows, values) of each replica."""
    rows, values = (np.concatenate(each) for each in zip(*shares, strict=True))
    return tf.IndexedSlices(
        tf.constant(values, "float32"),
        tf.constant(rows, "int64"),
        tf.constant([ROWS, *values.shape[1:]]),
    )


def share(random, shape):
    rows = random.permutation(ROWS)[: random.integers(ROWS + 1)]
    return rows, random.normal(size=(len(rows), *shape))


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("shape", [(2,), (), (2, 3)], ids=str)
def test_each_row_comes_once_with_its_sum(num_replicas, shape):
    random = np.random.default_rng(num_replicas)
    shares = [share(random, shape) for _ in range(num_replicas)]
    expected = np.zeros((ROWS, *shape))
    for rows, values in shares:
        expected[rows] += values

    merged = merge_shares(told(shares), num_replicas)

    touched = sorted({row for rows, _ in shares for row in rows})
    assert merged.indices.numpy().tolist() == touched
    # Of up to eight numbers of size 1.
    np.testing.assert_allclose(
        merged.values, expected[touched], rtol=0, atol=1e-6
    )


def test_nothing_told_is_nothing():
    nothing = np.zeros(0, int), np.zeros((0, 2))

    merged = merge_shares(told([nothing, nothing, nothing]), 3)

    assert merged.values.shape == (0, 2)
    assert merged.indices.shape == (0,)


def test_replicas_add_up_the_shares_of_a_row_in_one_order():
    # In another order 1 is lost: 1e8 + 1 is 1e8 in float32.
    def values_of(*values):
        return told([([3], [[value]]) for value in values])

    (sums,) = merge_shares(values_of(1e8, -1e8, 1.0, 0.0), 4).values.numpy()
    (others,) = merge_shares(values_of(1e8, 1.0, -1e8, 0.0), 4).values.numpy()

    assert (sums, others) == (1.0, 0.0)


def test_gpus_train_with_them(monkeypatch):
    monkeypatch.setattr(kernels, "has_gpu", lambda: True)
    monkeypatch.setattr(
        "deepfm_tf.optimizers.merged_gradients.has_gpu", lambda: True
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    shares = [([1, 3, 1], [1.0, 2.0, 3.0]), ([3, 5, 5], [4.0, 5.0, 6.0])]
    with strategy.scope():
        table = tf.Variable(tf.ones((ROWS, 1)), name="embeddings")
        optimizer = LazyAdam(learning_rate=0.1)
        optimizer.build([table])

    def step():
        place = tf.distribute.get_replica_context()
        rows, values = shares[int(place.replica_id_in_sync_group)]
        gradient = told([(rows, np.array(values)[:, None])])
        optimizer.apply([gradient], [table])

    strategy.run(step)

    copies = [copy.numpy()[:, 0] for copy in table.values]
    np.testing.assert_array_equal(copies[0], copies[1])
    # The first step of Adam is the rate, whatever the gradient.
    expected = np.ones(ROWS)
    expected[[1, 3, 5]] -= 0.1
    np.testing.assert_allclose(copies[0], expected, atol=1e-6)
