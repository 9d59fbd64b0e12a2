"""FTRL-Proximal that touches only the rows of a batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.native.table_kernels import Rule
from deepfm_tf.optimizers.lazy_optimizer import LazyOptimizer


@keras.saving.register_keras_serializable("deepfm_tf")
class LazyFTRL(LazyOptimizer, keras.optimizers.Ftrl):
    """Follow the regularized leader, for sparse first-order weights.

    For a touched row of a table (see `LazyOptimizer`), with `g` the sum of its
    gradients in the batch, `p` the `learning_rate_power` and `l1`, `l2` the
    regularization strengths,

        n' = n + g^2
        z <- z + g - (n'^-p - n^-p) / learning_rate w
        w <- 0 if |z| <= l1, else
             (sign(z) l1 - z) / ((beta + n'^-p) / learning_rate + 2 l2)

    and `n <- n'`. With `l1 > 0` weights become exactly zero. All other
    variables get Keras's Ftrl, whose rule is the same. The weights follow from
    `z`, so they have to start at zero, as first-order weights do.

    Args:
        learning_rate: float or a `keras.optimizers.schedules` object. Defaults
            to 0.05.
        learning_rate_power: float, not positive. Defaults to -0.5.
        initial_accumulator_value: float. What `n` starts from. Defaults to
            0.1.
        l1_regularization_strength: float. Defaults to 0.0.
        l2_regularization_strength: float. Defaults to 0.0.
        beta: float. Defaults to 0.0.
        **kwargs: As for `LazyAdam`.

    Raises:
        ValueError: `l2_shrinkage_regularization_strength`,
            `gradient_accumulation_steps` or `loss_scale_factor` is given; they
            are not supported.

    Example:

    >>> from deepfm_tf.optimizers import LazyFTRL
    >>> LazyFTRL(l1_regularization_strength=1.0).state_columns(1)
    2

    Reference:
        [McMahan et al., 2013](https://doi.org/10.1145/2487575.2488200),
        algorithm 1.
    """

    def __init__(
        self,
        learning_rate: Any = 0.05,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        beta: float = 0.0,
        name: str = "lazy_ftrl",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("l2_shrinkage_regularization_strength"):
            raise UserError(
                "`l2_shrinkage_regularization_strength` must be 0: LazyFTRL "
                "does not support it. Use `l2_regularization_strength`. "
                "Received: l2_shrinkage_regularization_strength="
                f"{kwargs['l2_shrinkage_regularization_strength']}."
            )
        super().__init__(
            learning_rate=learning_rate,
            learning_rate_power=learning_rate_power,
            initial_accumulator_value=initial_accumulator_value,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            beta=beta,
            name=name,
            **kwargs,
        )

    def state_columns(self, num_columns: int) -> int:
        """Of each weight, what `n` has gained since the start; then `z`."""
        return 2 * num_columns

    def new_state(self, values: Array, learning_rate: float) -> Array:
        """The `z` that the weights follow from, before any gradient."""
        n = self.initial_accumulator_value**-self.learning_rate_power
        quadratic = (
            self.beta + n
        ) / learning_rate + 2 * self.l2_regularization_strength
        l1 = self.l1_regularization_strength
        z = -values * quadratic - l1 * np.sign(values)
        return np.concatenate([np.zeros_like(values), z], axis=1)

    def update_rows(
        self, gradient: Any, values: Any, state: Any, learning_rate: Any
    ) -> tuple[Any, Any]:
        """One step of FTRL-Proximal."""
        gained, z = tf.split(state, 2, axis=1)
        old = self._power(self.initial_accumulator_value + gained)
        gained += tf.square(gradient)
        new = self._power(self.initial_accumulator_value + gained)
        z += gradient - (new - old) / learning_rate * values
        l1 = self.l1_regularization_strength
        # Keras's rule divides `beta` so that it stands beside `n'^-p`.
        quadratic = (
            self.beta + new
        ) / learning_rate + 2 * self.l2_regularization_strength
        values = (tf.clip_by_value(z, -l1, l1) - z) / quadratic
        return values, tf.concat([gained, z], axis=1)

    def _power(self, n: Any) -> Any:
        """`n^-p`; a root is exact to the last bit, as in our kernels."""
        power = -self.learning_rate_power
        return tf.sqrt(n) if power == 0.5 else n**power

    def kernel_rule(self, learning_rate: Any) -> Rule:
        """The same."""
        constants = (
            self.initial_accumulator_value,
            -self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
            self.beta,
        )
        return Rule("ftrl", learning_rate, constants)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        config = super().get_config()
        del config["l2_shrinkage_regularization_strength"]
        return config
