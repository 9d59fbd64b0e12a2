"""Early stopping that goes back to the best checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from deepfm_tf.errors import UserError


class CheckpointStopping(keras.callbacks.EarlyStopping):
    """Keras's `EarlyStopping`, without a copy of the best weights in memory.

    It stops when that one does, and at the end of training restores the same
    weights; they come from the file of the best epoch. Give it to a
    `Checkpoints`, and to `fit` before that.

    Args:
        **kwargs: of `EarlyStopping`, but for `restore_best_weights`.

    Attributes:
        restore: gives the model the weights of the best epoch. The
            `Checkpoints` sets it.

    Raises:
        UserError: when training begins, if no `Checkpoints` has it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(restore_best_weights=False, **kwargs)
        self.restore: Callable[[], None] | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start afresh."""
        super().on_train_begin(logs)
        if self.restore is None:
            raise UserError(
                "A CheckpointStopping must be given to a Checkpoints, which "
                "keeps the best weights for it. Without one, use "
                "keras.callbacks.EarlyStopping(restore_best_weights=True)."
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restore the best weights."""
        super().on_train_end(logs)
        if self.restore is not None and self.best is not None:
            self.restore()
