"""Validation metrics against steps, finer than epochs."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import keras

from deepfm_tf.errors import UserError
from deepfm_tf.evaluation import evaluate
from deepfm_tf.storage import write_text


class LearningCurve(keras.callbacks.Callback):
    """Measures validation AUC and log loss every so many training steps.

    It only looks: training goes on as it would without it, and what it takes
    is taken off the `train_seconds` in the logs. Give it to `fit` right after
    `ValidationMetrics` (the first of `training_callbacks`), whose metrics at
    the end of an epoch it takes over. Where the model was compiled with
    `steps_per_execution`, it can look only after as many steps.

    Args:
        dataset: `tf.data.Dataset` of `(inputs, label)`, or of `(inputs,
            label, weight)`. Read once at each point.
        every: int. Steps between two points.
        path: file that keeps the points of whole epochs, as JSON, so that a
            resumed run goes on with them. Optional.

    Attributes:
        points: a list of `{"step": int, "epoch": int, "auc": float or None,
            "log_loss": float}`; the first epoch is 1, and AUC None where all
            rows are of one class.

    Raises:
        ValueError: `every` is no positive integer.

    Example:

    >>> import deepfm_tf
    >>> schema = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), label="y")
    >>> data = deepfm_tf.dataset_from_ids(
    ...     {"values": [[1.0], [2.0], [3.0], [4.0]]}, [0, 1, 0, 1], schema, 1
    ... )
    >>> model = deepfm_tf.LogisticRegression(schema)
    >>> deepfm_tf.compile_model(model)
    >>> curve = LearningCurve(data, every=2)
    >>> _ = model.fit(
    ...     data, epochs=2, shuffle=False, verbose=0, callbacks=[curve]
    ... )
    >>> [point["step"] for point in curve.points]
    [2, 4, 6, 8]
    """

    def __init__(
        self, dataset: Any, every: int, path: str | Path | None = None
    ) -> None:
        super().__init__()
        if every < 1:
            raise UserError(
                f"`every` must be a positive integer. Received: every={every}."
            )
        self.dataset = dataset
        self.every = every
        self.path = None if path is None else Path(path)
        self.points: list[dict[str, Any]] = []
        self._step = 0
        self._steps_before = 0  # the epoch
        self._epoch = 0
        self._is_first_epoch = True
        self._seconds = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Take up the points of a stopped run."""
        self.points = []
        self._step = 0
        self._is_first_epoch = True
        if self.path is not None and self.path.is_file():
            self.points = json.loads(self.path.read_text(encoding="utf-8"))

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Leave out what a stopped run did after its last checkpoint."""
        if self._is_first_epoch:
            self.points = [p for p in self.points if p["epoch"] <= epoch]
            self._step = self.points[-1]["step"] if self.points else 0
            self._is_first_epoch = False
        self._steps_before = self._step
        self._epoch = epoch + 1
        self._seconds = 0.0

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Evaluate, every so many steps."""
        steps = self.params.get("steps")
        done = batch + 1 if steps is None else min(batch + 1, steps)
        last, self._step = self._step, self._steps_before + done
        # The last step is left to the end of the epoch.
        if last // self.every == self._step // self.every or done == steps:
            return
        begin = time.perf_counter()
        self._add(*self._measure())
        self._seconds += time.perf_counter() - begin

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Add the end of the epoch, and save."""
        logs = {} if logs is None else logs
        if "train_seconds" in logs:
            logs["train_seconds"] -= self._seconds
        if not self.points or self.points[-1]["step"] < self._step:
            if "val_auc" in logs:
                self._add(logs["val_auc"], logs["val_log_loss"])
            else:
                self._add(*self._measure())
        if self.path is not None:
            write_text(self.path, json.dumps(self.points))

    def _measure(self) -> tuple[float, float]:
        """AUC and log loss now."""
        metrics = evaluate(self.model, self.dataset)
        return metrics["auc"], metrics["log_loss"]

    def _add(self, area: float, loss: float) -> None:
        self.points.append(
            {
                "step": self._step,
                "epoch": self._epoch,
                "auc": None if math.isnan(area) else float(area),
                "log_loss": float(loss),
            }
        )
