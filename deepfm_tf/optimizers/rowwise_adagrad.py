"""Adagrad with one accumulator for each row of a table."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.native.table_kernels import Rule
from deepfm_tf.optimizers.lazy_optimizer import LazyOptimizer


@keras.saving.register_keras_serializable("deepfm_tf")
class RowwiseAdagrad(LazyOptimizer, keras.optimizers.Adagrad):
    """Adagrad with one number of state per row: the memory of Adam's, over 2k.

    For a touched row of a table (see `LazyOptimizer`), with `g` the sum of its
    gradients in the batch, k long,

        a <- a + 1/k sum_j g_j^2
        w <- w - learning_rate g / sqrt(a + epsilon)

    All other variables get Keras's Adagrad. The steps shrink with all that a
    row has seen, so the learning rate wants to be larger than Adam's.

    Args:
        learning_rate: float or a `keras.optimizers.schedules` object. Defaults
            to 0.01.
        initial_accumulator_value: float. What `a` starts from. Defaults to
            0.1, Keras's.
        epsilon: float. Defaults to 1e-7, Keras's.
        **kwargs: As for `LazyAdam`.

    Raises:
        ValueError: `gradient_accumulation_steps` or `loss_scale_factor` is
            given; they are not supported.

    Example:

    >>> from deepfm_tf.optimizers import RowwiseAdagrad
    >>> RowwiseAdagrad(learning_rate=0.05).state_columns(10)
    1

    Reference:
        [Duchi et al., 2011](https://jmlr.org/papers/v12/duchi11a.html); by
        rows: [Mudigere et al., 2022](https://arxiv.org/abs/2104.05158),
        section 4.1.4.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "rowwise_adagrad",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )

    def state_columns(self, num_columns: int) -> int:
        """What the accumulator has gained since the start."""
        return 1

    def update_rows(
        self, gradient: Any, values: Any, state: Any, learning_rate: Any
    ) -> tuple[Any, Any]:
        """One step of row-wise Adagrad."""
        state += tf.reduce_mean(tf.square(gradient), axis=1, keepdims=True)
        accumulator = self.initial_accumulator_value + state
        values -= learning_rate * gradient / tf.sqrt(accumulator + self.epsilon)
        return values, state

    def kernel_rule(self, learning_rate: Any) -> Rule:
        """The same."""
        constants = (self.initial_accumulator_value, self.epsilon)
        return Rule("rowwise_adagrad", learning_rate, constants)
