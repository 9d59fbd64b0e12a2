"""Checkpoints of a training, and how to go on from them."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import keras

from deepfm_tf.errors import MissingFileError
from deepfm_tf.keras_internals import skip_epochs, skip_no_epochs
from deepfm_tf.storage import replacing, write_text
from deepfm_tf.strategies import agree, is_chief

# TensorBoard's files, in the directory of the checkpoints.
TENSORBOARD = "tensorboard"

_STATE_FILE = "state.json"
_LOG_FILE = "log.csv"
_EPOCH_FILES = "epoch-*.keras"


class Checkpoints(keras.callbacks.Callback):
    """Keeps the last epoch and the best one on disk, for `load_checkpoint`.

    Every file is written beside its place and then renamed, and
    `state.json`, written last, says which of them count: a run killed at any
    moment can be resumed from its last whole epoch. `log.csv` holds the logs
    of all epochs, resumed ones included. Of several workers, the chief alone
    writes; all read, so that the directory must be one that they share.

    Args:
        directory: where to keep them.
        early_stopping: the `EarlyStopping` whose patience and best epoch are
            kept too. Give it to `fit` before this callback. Optional.
        plateau: the `ReduceLROnPlateau`, of the same monitor and with a
            patience of 1, that is to remember the best epoch too. Give it to
            `fit` before this callback. Optional.
    """

    def __init__(
        self,
        directory: str | Path,
        early_stopping: keras.callbacks.EarlyStopping | None = None,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.early_stopping = early_stopping
        self.plateau = plateau
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start afresh, or where the loaded checkpoint stopped."""
        self.history = {}
        resumed = getattr(self.model, "_deepfm_tf_resumed", None)
        writes = is_chief(self.model.distribute_strategy)
        if writes:
            self.directory.mkdir(parents=True, exist_ok=True)
        elif resumed is None:
            return  # the chief may be removing what is there
        state = read_state(self.directory)
        if state is None:
            return
        checkpoint = self.directory / state["checkpoint"]
        if resumed != checkpoint.resolve():
            if writes:
                self._remove_old_run()
            return
        self.history = state["history"]
        stopping = self.early_stopping
        if stopping is None or state["best_checkpoint"] is None:
            return
        stopping.best = state["best"]
        stopping.best_epoch = state["best_epoch"]
        stopping.wait = state["wait"]
        if self.plateau is not None:
            self.plateau.best = state["best"]
        best = keras.saving.load_model(
            self.directory / state["best_checkpoint"], compile=False
        )
        stopping.best_weights = best.get_weights()
        if state["ended"]:
            skip_epochs(self.model)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Save the epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if not is_chief(self.model.distribute_strategy):
            return
        state: dict[str, Any] = {
            "checkpoint": f"epoch-{epoch + 1:04d}.keras",
            "best_checkpoint": None,
            "epoch": epoch + 1,
            "history": self.history,
            # Keras files do not hold what dropout has drawn so far.
            "dropout_seeds": [
                seed.numpy().tolist() for seed in _dropout_seeds(self.model)
            ],
        }
        stopping = self.early_stopping
        if stopping is not None and stopping.best_weights is not None:
            state |= {
                "best_checkpoint": f"epoch-{stopping.best_epoch + 1:04d}.keras",
                "best": stopping.best,
                "best_epoch": stopping.best_epoch,
                "wait": stopping.wait,
                "ended": 0 < epoch == stopping.stopped_epoch,
            }
        with replacing(self.directory / state["checkpoint"]) as path:
            self.model.save(path)
        with replacing(self.directory / _LOG_FILE) as path:
            self._write_log(path)
        text = json.dumps(state, indent=1)
        write_text(self.directory / _STATE_FILE, text)
        for path in self.directory.glob(_EPOCH_FILES):
            if path.name not in (state["checkpoint"], state["best_checkpoint"]):
                path.unlink()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the model as any other."""
        skip_no_epochs(self.model)

    def _write_log(self, path: Path) -> None:
        rows = itertools.zip_longest(*self.history.values(), fillvalue="")
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history])
            writer.writerows((n, *row) for n, row in enumerate(rows, 1))

    def _remove_old_run(self) -> None:
        # First what says that the rest counts.
        (self.directory / _STATE_FILE).unlink()
        for pattern in (_EPOCH_FILES, _LOG_FILE, ".tmp-*"):
            for path in self.directory.glob(pattern):
                path.unlink()
        shutil.rmtree(self.directory / TENSORBOARD, ignore_errors=True)


def read_state(directory: str | Path) -> dict[str, Any] | None:
    """What `Checkpoints` left in a directory; None if there is nothing."""
    path = Path(directory) / _STATE_FILE
    if not path.is_file():
        return None
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state


def load_checkpoint(directory: str | Path) -> tuple[keras.Model, int]:
    """The model of a stopped run, compiled as it was, to go on with.

    Call it inside `strategy.scope()`, and give `fit` the `initial_epoch` and
    callbacks made anew by `training_callbacks` for the same directory. A run
    that early stopping had ended does no further epoch then, and comes out of
    `fit` with its best weights again.

    Args:
        directory: the one given to `training_callbacks`.

    Returns:
        `(model, initial_epoch)`.
    """
    state = read_state(directory)
    if state is None:
        raise MissingFileError(
            f"{directory} holds no checkpoint to resume from: no epoch was "
            "finished there. Start without resuming."
        )
    path = Path(directory) / state["checkpoint"]
    model = keras.saving.load_model(path)
    seeds = _dropout_seeds(model)
    for seed, value in zip(seeds, state["dropout_seeds"], strict=True):
        seed.assign(value)
    agree(model.distribute_strategy, path.name, "last checkpoint")
    model._deepfm_tf_resumed = path.resolve()
    return model, state["epoch"]


def _dropout_seeds(model: keras.Model) -> list[Any]:
    """The variables that say which random numbers come next."""
    return [
        variable
        for variable in model.non_trainable_variables
        if variable.name == "seed_generator_state"
    ]
