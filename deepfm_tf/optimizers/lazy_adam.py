"""Adam that touches only the rows of a batch."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.errors import UserError
from deepfm_tf.native.table_kernels import Rule
from deepfm_tf.optimizers.lazy_optimizer import LazyOptimizer


@keras.saving.register_keras_serializable("deepfm_tf")
class LazyAdam(LazyOptimizer, keras.optimizers.Adam):
    """Adam whose cost does not depend on the size of the embedding tables.

    For a touched row of a table (see `LazyOptimizer`), with `g` the sum of its
    gradients in the batch and `t` the number of the step,

        m <- m + (1 - beta_1) (g - m)
        v <- v + (1 - beta_2) (g^2 - v)
        w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)
                 m / (sqrt(v) + epsilon)

    All other variables get Keras's Adam. On a gradient that touches every row
    the two are the same; otherwise this is **another algorithm**: a row that
    is not touched keeps its value and its moments, where dense Adam lets the
    moments decay and moves the row on by what is left of them. A rare row so
    moves less after a batch that holds it, and its moments are averages over
    the batches that hold it.

    Args:
        learning_rate: float or a `keras.optimizers.schedules` object. Defaults
            to 0.001, the paper's.
        beta_1: float. Decay of the first moment `m`. Defaults to 0.9.
        beta_2: float. Decay of the second moment `v`. Defaults to 0.999.
        epsilon: float. Defaults to 1e-7, Keras's.
        **kwargs: `batch_l2` (see `LazyOptimizer`), `weight_decay` (decoupled;
            of touched rows alone), `clipnorm`, `global_clipnorm`, `clipvalue`,
            `use_ema`, `ema_momentum`, `ema_overwrite_frequency` and `name`, as
            for every Keras optimizer.

    Raises:
        ValueError: `amsgrad`, `gradient_accumulation_steps` or
            `loss_scale_factor` is given; they are not supported.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from deepfm_tf.optimizers import LazyAdam
    >>> layer = keras.layers.Embedding(1000, 4)
    >>> model = keras.Sequential([layer, keras.layers.Flatten()])
    >>> model.compile(optimizer=LazyAdam(learning_rate=0.1), loss="mse")
    >>> before = model(np.array([[7], [8]])).numpy()
    >>> history = model.fit(np.array([[7]]), np.ones((1, 4)), verbose=0)
    >>> moved = model(np.array([[7], [8]])).numpy() != before
    >>> moved.any(axis=1).tolist()
    [True, False]

    Reference:
        [Kingma and Ba, 2015](https://arxiv.org/abs/1412.6980), algorithm 1.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "lazy_adam",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("amsgrad"):
            raise UserError(
                "`amsgrad` must be False: LazyAdam does not support it. Use "
                "keras.optimizers.Adam. Received: amsgrad=True."
            )
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )

    def state_columns(self, num_columns: int) -> int:
        """The moments `m`, then `v`, of each weight."""
        return 2 * num_columns

    def update_rows(
        self, gradient: Any, values: Any, state: Any, learning_rate: Any
    ) -> tuple[Any, Any]:
        """One step of Adam."""
        m, v = tf.split(state, 2, axis=1)
        m += (1 - self.beta_1) * (gradient - m)
        v += (1 - self.beta_2) * (tf.square(gradient) - v)
        values -= self._rate(learning_rate) * m / (tf.sqrt(v) + self.epsilon)
        return values, tf.concat([m, v], axis=1)

    def kernel_rule(self, learning_rate: Any) -> Rule:
        """The same."""
        constants = (1 - self.beta_1, 1 - self.beta_2, self.epsilon)
        return Rule("adam", self._rate(learning_rate), constants)

    def _rate(self, learning_rate: Any) -> Any:
        """The learning rate times what corrects the moments' start."""
        step = tf.cast(self.iterations + 1, learning_rate.dtype)
        correction = tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        return learning_rate * correction

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        config = super().get_config()
        del config["amsgrad"]
        return config
