"""Gradients of tables that workers share out, as one worker sees them."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.errors import UserError
from deepfm_tf.optimizers import Adam, LazyAdam
from deepfm_tf.optimizers.sharded_tables import clipped_together, summed


class Replica:
    """The context of a worker whose partner always gives the same.

    Args:
        others: what the partner adds to each sum.
    """

    def __init__(self, others):
        self.others = others
        self.told = []

    def all_reduce(self, operation, values):
        assert operation == tf.distribute.ReduceOp.SUM
        self.told.append(values)
        return tf.nest.map_structure(lambda value: value + self.others, values)


def test_a_sharded_gradient_stays_where_it_is():
    replica = Replica(10.0)

    found = summed(replica, [1.0, 2.0, 3.0], [False, True, False])

    assert found == [11.0, 2.0, 13.0]
    assert replica.told == [[1.0, 3.0]]


@pytest.mark.parametrize("limit, scale", [(8.5, 0.5), (20.0, 1.0)])
def test_the_common_norm_counts_the_rows_of_all_workers(limit, scale):
    # 3^2 + 4^2, the same on both workers; 12^2 here, 120 there: 17^2 in all.
    gradients = [tf.constant([3.0, 4.0]), tf.constant([[12.0]])]

    found = clipped_together(Replica(120.0), gradients, [False, True], limit)

    np.testing.assert_allclose(found[0], [3 * scale, 4 * scale], rtol=1e-6)
    np.testing.assert_allclose(found[1], [[12 * scale]], rtol=1e-6)


@pytest.mark.parametrize(
    "rule, option, said",
    [
        (Adam, {}, "must be learnt by a lazy optimizer"),
        (LazyAdam, {"clipnorm": 1.0}, "Give `global_clipnorm`"),
        (LazyAdam, {"use_ema": True}, "It reads the whole table at each step"),
    ],
    ids=["not lazy", "norm of each", "average"],
)
def test_an_optimizer_that_needs_a_whole_table_is_refused(rule, option, said):
    table = tf.Variable(np.zeros((2, 3), np.float32), name="embeddings")
    table.row_shards = "some"

    with pytest.raises(UserError, match=said):
        rule(**option).build([table])
