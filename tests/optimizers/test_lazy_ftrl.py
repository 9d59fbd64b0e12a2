"""LazyFTRL beside Keras's Ftrl and the paper's algorithm."""

import keras
import numpy as np
import pytest

from deepfm_tf.optimizers import LazyFTRL
from tests.optimizers import rules
from tests.optimizers.test_lazy_adam import walk
from tests.optimizers.test_lazy_optimizer import (
    STEPS,
    gradients_of,
    new_table,
    run,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "l1_regularization_strength": 0.5,
            "l2_regularization_strength": 0.2,
            "beta": 0.7,
        },
        {"learning_rate_power": -0.3},
    ],
    ids=str,
)
def test_where_every_row_is_touched_it_walks_with_ftrl(options):
    lazy = walk(LazyFTRL(learning_rate=0.1, **options), "embeddings", False)
    ftrl = keras.optimizers.Ftrl(learning_rate=0.1, **options)

    np.testing.assert_allclose(lazy, walk(ftrl, "kernel", True), atol=2e-5)


def test_regularized_steps_are_those_of_the_paper():
    table = new_table(np.zeros((6, 3)))
    expected = np.zeros((6, 3))
    rule = rules.FTRL(0.2, l1=0.8, l2=0.1, beta=0.5)
    for rows, gradient in zip(STEPS, gradients_of(STEPS), strict=True):
        rule.step(expected, rules.merged(rows, gradient), None)

    run(
        LazyFTRL(
            0.2,
            l1_regularization_strength=0.8,
            l2_regularization_strength=0.1,
            beta=0.5,
        ),
        table,
    )

    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)
    touched = table.numpy()[[1, 2, 4, 5]]
    assert (touched == 0).any() and (touched != 0).any()


def test_shrinkage_is_refused():
    with pytest.raises(ValueError, match="`l2_shrinkage.* must be 0.*=0.1"):
        LazyFTRL(l2_shrinkage_regularization_strength=0.1)


def test_config_round_trip_keeps_every_argument():
    config = LazyFTRL(0.5, -0.4, 0.2, 0.3, 0.6, 0.7).get_config()

    assert LazyFTRL.from_config(config).get_config() == config
    assert config["l1_regularization_strength"] == 0.3
    assert config["beta"] == 0.7
