"""Early stopping that averages the epochs it cannot tell apart."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics, of_chief
from deepfm_tf.errors import UserError
from deepfm_tf.metrics.comparison import paired_improvement

# Standard errors beyond which a difference is no noise.
_BEYOND = 2.0


class AveragingStopping(keras.callbacks.EarlyStopping):
    """Restores the mean of the best weights and of later ones as good.

    It stops when Keras's `EarlyStopping` does. But what it goes back to is

        w = (w_b + sum of w_e) / (1 + number of e),

    b the best epoch, e those after it that are not worse beyond noise: by no
    more than two standard errors of the difference, paired row by row (for
    the log loss, with `d` the difference of a row's losses, mean(d) <=
    2 std(d) / sqrt(rows)). That is stochastic weight averaging, equation 1
    of the paper with one model an epoch, where the mean begins at the best
    epoch.

    With few positives the smallest of many noisy losses is at no better epoch
    than the others, while the weights themselves go up and down from epoch to
    epoch; their mean does not. Where validation does tell epochs apart it
    restores the best one, as ever.

    The running mean takes the place of Keras's copy of the best weights: no
    second copy of a table is kept. All weights are averaged, the moving
    statistics of batch normalization included: neighbouring epochs differ
    little, and an estimate by the mean weights, as in the paper, would be
    another pass through the training data.

    Args:
        validation: the ValidationMetrics whose predictions it compares. Give
            it to `fit` before this callback, with data in a fixed order.
        **kwargs: of `EarlyStopping`.

    Attributes:
        num_averaged: int. Epochs in the mean.
        best_probability: (rows,). What the best epoch predicts.

    Reference:
        [Izmailov et al., 2018](https://arxiv.org/abs/1803.05407), section 3.2
    """

    def __init__(self, validation: ValidationMetrics, **kwargs: Any) -> None:
        super().__init__(restore_best_weights=True, **kwargs)
        self.validation = validation
        self.num_averaged = 0
        self.best_probability: Array | None = None
        self._label: Array | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start afresh."""
        super().on_train_begin(logs)
        self.num_averaged = 0
        self.best_probability = self._label = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop or go on, and average the epoch if it is not worse."""
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
        if self.wait == 0:
            self.best_probability = probability
            self.num_averaged = 1
            return
        if self.best_probability is None:
            # Resumed where nothing was averaged: what the best epoch predicts
            # is not known, so it stays alone.
            return
        gain, error = paired_improvement(
            self.monitor.removeprefix("val_"),
            *(label, self.best_probability, probability, weight),
        )
        strategy = self.model.distribute_strategy
        # The last bit of other workers may be another: all do as the chief.
        (is_worse,) = of_chief(strategy, [float(gain > _BEYOND * error)])
        if not is_worse:
            self._average()

    def _average(self) -> None:
        self.num_averaged += 1
        means = self.best_weights
        # One at a time: the table is most of the memory.
        for place, variable in enumerate(self.model.weights):
            gain = variable.numpy() - means[place]
            means[place] += gain / self.num_averaged
