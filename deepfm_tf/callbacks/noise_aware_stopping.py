"""Early stopping that does not take noise for a reason to go back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics, of_chief
from deepfm_tf.errors import UserError
from deepfm_tf.metrics.comparison import paired_improvement


class NoiseAwareStopping(keras.callbacks.EarlyStopping):
    """Keeps the latest epoch that is as good as the best within noise.

    It stops when Keras's `EarlyStopping` does. But what it goes back to is
    the last of the epochs whose metric is not worse than the best by more
    than one standard error of their difference, over the same validation rows
    (for the log loss, with `d` the difference of a row's losses)

        mean(d) <= std(d) / sqrt(rows).

    With few positives the smallest of many noisy losses is at no better epoch
    than the others, and mostly too early: the learning rate was not reduced
    by then. Where validation does tell epochs apart it restores the best one,
    as ever. The rule is that of Breiman et al., 1984, section 3.4.3, for the
    size of trees; what an equal loss leaves open is there the simpler model,
    and here the one that has learnt for longer: these models are held back by
    their penalties. In place of a mean of weights (stochastic weight
    averaging, [Izmailov et al., 2018](https://arxiv.org/abs/1803.05407)) it
    keeps weights that training went through: batch normalization's statistics
    belong to them, and there is no second copy of a table.

    Args:
        validation: the ValidationMetrics whose predictions it compares. Give
            it to `fit` before this callback, with data in a fixed order.
        **kwargs: of `EarlyStopping`.

    Attributes:
        best_epoch: int. The epoch that is kept, from 0.
        best_probability: (rows,). What the best epoch predicts.
    """

    def __init__(self, validation: ValidationMetrics, **kwargs: Any) -> None:
        super().__init__(restore_best_weights=True, **kwargs)
        self.validation = validation
        self.best_probability: Array | None = None
        self._label: Array | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start afresh."""
        super().on_train_begin(logs)
        self.best_probability = self._label = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop or go on, and keep the epoch if it is not worse."""
        super().on_epoch_end(epoch, logs)
        label, probability, weight = self.validation.rows
        if self._label is None:
            self._label = label
        elif not np.array_equal(label, self._label):
            raise UserError(
                "The validation data must keep their order, for two epochs to "
                "be compared row by row, but two passes differ. Make the data "
                "set with shuffle=False."
            )
        if self.wait == 0 or self.best_probability is None:
            self.best_probability = probability
            return
        gain, error = paired_improvement(
            self.monitor.removeprefix("val_"),
            *(label, self.best_probability, probability, weight),
        )
        strategy = self.model.distribute_strategy
        # The last bit of other workers may be another: all do as the chief.
        (is_worse,) = of_chief(strategy, [float(gain > error)])
        if not is_worse:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
