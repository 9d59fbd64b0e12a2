"""Exact metrics of the validation data after each epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras

from deepfm_tf.arrays import Array
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.evaluation import predict_unordered
from deepfm_tf.metrics import NotANumberError, binary_metrics
from deepfm_tf.strategies import exchange


class ValidationMetrics(keras.callbacks.Callback):
    """Adds exact `val_auc` and `val_log_loss` to the logs of each epoch.

    Also `train_seconds`: what the epoch took before this evaluation.

    Keras's own AUC is an approximation by 200 thresholds. Give this callback
    before those that read the logs, and no `validation_data` to `fit`: one
    pass over the data serves both metrics.

    Args:
        dataset: `tf.data.Dataset` of `(inputs, label)`, or of `(inputs,
            label, weight)`.
        monitor: `"log_loss"` or `"auc"`, the one that must not be undefined.

    Attributes:
        rows: label, probability and weight (or None) of each row, as the last
            epoch left them.
        meanwhile: a context manager of an epoch's number, in which it is
            evaluated. Defaults to one that does nothing; a `Checkpoints` that
            is given this callback writes the epoch in it.

    Raises:
        NotANumberError: at the end of an epoch that left the model with
            weights that are no numbers.
        ValueError: `monitor` is `"auc"`, and there is one class only.
    """

    def __init__(self, dataset: Any, monitor: str = "log_loss") -> None:
        super().__init__()
        self.dataset = dataset
        self.monitor = monitor
        self.rows: tuple[Array, Array, Array | None]
        self.meanwhile: Callable[[int], AbstractContextManager[Any]] = (
            contextlib.nullcontext
        )
        self._begin = 0.0

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Start the clock."""
        self._begin = time.perf_counter()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Evaluate, and put the metrics into `logs`."""
        seconds = time.perf_counter() - self._begin
        try:
            with self.meanwhile(epoch):
                self.rows = predict_unordered(self.model, self.dataset)
                metrics = binary_metrics(*self.rows)
        except NotANumberError as error:
            raise NotANumberError(
                f"The validation loss after epoch {epoch + 1} is not a number: "
                "training has diverged. Lower the learning rate (",
                Argument("learning_rate"),
                "), or clip the gradients (",
                Argument("clip_norm"),
                ").",
            ) from error
        if self.monitor == "auc" and math.isnan(metrics["auc"]):
            raise UserError(
                "The validation data must hold both classes to monitor the "
                f"AUC. Received: {metrics['rows']} rows of one class. Monitor "
                "the log loss, or validate on more rows."
            )
        if logs is not None:
            logs["train_seconds"] = seconds
            logs["val_auc"], logs["val_log_loss"] = of_chief(
                self.model.distribute_strategy,
                [metrics["auc"], metrics["log_loss"]],
            )


def of_chief(strategy: Any, values: list[float]) -> list[float]:
    """The chief's numbers: the last bit of others may be another.

    Whether training stops must be the same on all workers.
    """
    text = " ".join(map(repr, map(float, values)))
    return list(map(float, exchange(strategy, text)[0].split()))
