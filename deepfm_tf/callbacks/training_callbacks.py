"""The callbacks of a training: validation, early stopping, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from deepfm_tf.callbacks.averaging_stopping import AveragingStopping
from deepfm_tf.callbacks.checkpoint_stopping import CheckpointStopping
from deepfm_tf.callbacks.checkpoints import TENSORBOARD, Checkpoints
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics
from deepfm_tf.cluster import read_cluster
from deepfm_tf.errors import Argument, MissingPackageError, UserError
from deepfm_tf.extras import install_hint, missing
from deepfm_tf.models.batches import check_dataset

MONITORS = {"log_loss": "min", "auc": "max"}


def training_callbacks(
    validation: Any,
    directory: str | Path | None = None,
    *,
    patience: int = 2,
    min_delta: float = 0.0,
    monitor: str = "log_loss",
    reduce_lr: bool = False,
    average_weights: bool = False,
    tensorboard: bool = False,
) -> list[keras.callbacks.Callback]:
    """Early stopping with the best weights restored, checkpoints, logs.

    The best weights come back from their checkpoint. Without a directory a
    copy of them is kept in memory, as by Keras; with `average_weights` a mean
    of that size.

    Args:
        validation: `tf.data.Dataset` to monitor.
        directory: where checkpoints, `log.csv` and TensorBoard's files go.
            Those of an earlier run there are removed, unless the model comes
            from `load_checkpoint`. `None` keeps nothing on disk. Of several
            workers, the chief alone writes there, and all read.
        patience: int. Epochs without improvement before training stops.
        min_delta: float. What the monitored metric must gain on the best epoch
            for an improvement. Defaults to 0: any gain is one.
        monitor: `"log_loss"` or `"auc"`, of the validation data.
        reduce_lr: bool. Multiply the learning rate by 0.1 after each
            `patience - 2` epochs without improvement, or after each one
            (Keras's `ReduceLROnPlateau`).
        average_weights: bool. Restore the mean of the weights of the best
            epoch and of the later ones that are not worse beyond noise, in
            place of the best alone (see `AveragingStopping`). The validation
            data must keep their order.
        tensorboard: bool. Write TensorBoard's files (needs
            the package tensorboard).

    Returns:
        Callbacks for `model.fit(..., callbacks=...)`.
    """
    check_dataset(validation, "validation")
    if not isinstance(patience, int) or patience < 0:
        raise UserError(
            Argument("patience"),
            " must be a number of epochs, at least 0. Received: ",
            Argument("patience", patience),
            ".",
        )
    if monitor not in MONITORS:
        raise UserError(
            f"`monitor` must be one of {', '.join(MONITORS)}. Received: "
            f"monitor={monitor!r}."
        )
    metrics = ValidationMetrics(validation, monitor)
    how: dict[str, Any] = {
        "monitor": f"val_{monitor}",
        "mode": MONITORS[monitor],
        "patience": patience,
        "min_delta": min_delta,
    }
    stopping: keras.callbacks.EarlyStopping
    if average_weights:
        stopping = AveragingStopping(metrics, **how)
    elif directory is not None:
        stopping = CheckpointStopping(**how)
    else:
        stopping = keras.callbacks.EarlyStopping(
            restore_best_weights=True, **how
        )
    callbacks = [metrics, stopping]
    plateau = None
    if reduce_lr:
        plateau = keras.callbacks.ReduceLROnPlateau(
            monitor=f"val_{monitor}",
            mode=MONITORS[monitor],
            factor=0.1,
            patience=max(1, patience - 2),
            # What counts as better is the same as for `stopping`.
            min_delta=min_delta,
        )
        callbacks.append(plateau)
    if directory is None:
        return callbacks
    callbacks.append(Checkpoints(directory, stopping, plateau, metrics))
    if tensorboard:
        if missing("tensorboard"):
            raise MissingPackageError(
                install_hint("`tensorboard=True` needs", "tensorboard")
            )
        if read_cluster().is_chief:
            callbacks.append(
                keras.callbacks.TensorBoard(
                    Path(directory) / TENSORBOARD, write_graph=False
                )
            )
    return callbacks
