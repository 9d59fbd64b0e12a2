"""RowwiseAdagrad beside Keras's Adagrad."""

import keras
import numpy as np

from deepfm_tf.optimizers import RowwiseAdagrad
from tests.optimizers.test_lazy_adam import walk


def test_a_row_has_one_number_of_state():
    table = keras.Variable(np.zeros((7, 3)), name="embeddings")
    rule = RowwiseAdagrad()

    rule.build([table])

    assert [v.shape for v in rule.variables if len(v.shape)] == [(7, 1)]


def test_on_rows_of_equal_squares_it_walks_with_adagrad():
    # The mean of equal squares is each of them.
    table, other = (
        keras.Variable(np.zeros((4, 3)), name=n, dtype="float32")
        for n in ("embeddings", "kernel")
    )
    random = np.random.default_rng(2)
    lazy = RowwiseAdagrad(learning_rate=0.1, initial_accumulator_value=0.3)
    adagrad = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3)
    for _ in range(12):
        size = random.uniform(0.1, 2.0, (4, 1))
        gradient = size * random.choice([-1.0, 1.0], (4, 3))
        lazy.apply([gradient.astype("float32")], [table])
        adagrad.apply([gradient.astype("float32")], [other])

    np.testing.assert_allclose(table, other, rtol=1e-4, atol=1e-5)


def test_wide_rows_share_what_they_have_seen():
    wide = walk(RowwiseAdagrad(learning_rate=0.1), "embeddings", False)
    plain = walk(keras.optimizers.Adagrad(learning_rate=0.1), "kernel", True)

    assert np.abs(wide - plain).max() > 1e-2


def test_config_round_trip_keeps_every_argument():
    config = RowwiseAdagrad(0.5, 0.2, 0.3, clipvalue=0.4).get_config()

    assert RowwiseAdagrad.from_config(config).get_config() == config
    assert config["initial_accumulator_value"] == 0.2
    assert config["epsilon"] == 0.3
