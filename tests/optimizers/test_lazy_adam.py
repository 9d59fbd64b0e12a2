"""LazyAdam beside Keras's Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.optimizers import LazyAdam


def walk(rule, name, dense):
    """12 steps on gradients that touch every row, each once."""
    random = np.random.default_rng(0)
    table = keras.Variable(
        random.normal(size=(7, 3)), name=name, dtype="float32"
    )
    for _ in range(12):
        gradient = tf.constant(random.normal(size=(7, 3)), "float32")
        rows = random.permutation(7)
        if not dense:
            gradient = tf.IndexedSlices(
                tf.gather(gradient, rows),
                tf.constant(rows),
                tf.constant([7, 3]),
            )
        rule.apply([gradient], [table])
    return table.numpy()


@pytest.mark.parametrize("options", [{}, {"beta_1": 0.5, "epsilon": 0.1}])
def test_where_every_row_is_touched_it_walks_with_adam(options):
    lazy = walk(LazyAdam(learning_rate=0.1, **options), "embeddings", False)
    adam = keras.optimizers.Adam(learning_rate=0.1, **options)

    # 12 steps of 0.1, in float32 with the operations in another order.
    np.testing.assert_allclose(lazy, walk(adam, "kernel", True), atol=2e-5)


def test_moments_do_not_decay_while_a_row_rests():
    # Row 0 at steps 1 and 3. Dense Adam would move it at step 2 as well.
    table = keras.Variable(np.zeros((2, 1)), name="embeddings", dtype="float32")
    rule = LazyAdam(learning_rate=0.1)
    values = []
    for row in (0, 1, 0):
        gradient = tf.IndexedSlices(
            tf.constant([[1.0]]), tf.constant([row]), tf.constant([2, 1])
        )
        rule.apply([gradient], [table])
        values.append(float(table.numpy()[0, 0]))

    m, v = 0.1 * 0.9 + 0.1, 0.001 * 0.999 + 0.001
    last = 0.1 * np.sqrt(1 - 0.999**3) / (1 - 0.9**3) * m / np.sqrt(v)
    np.testing.assert_allclose(values, [-0.1, -0.1, -0.1 - last], rtol=1e-4)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="`amsgrad` must be False.*amsgrad="):
        LazyAdam(amsgrad=True)


def test_config_round_trip_keeps_every_argument():
    rule = LazyAdam(0.5, 0.1, 0.2, 0.3, name="mine", weight_decay=0.4)

    config = rule.get_config()

    assert LazyAdam.from_config(config).get_config() == config
    assert [config[k] for k in ("beta_1", "beta_2", "epsilon")] == [
        *(0.1, 0.2, 0.3)
    ]
    assert (config["name"], config["weight_decay"]) == ("mine", 0.4)
