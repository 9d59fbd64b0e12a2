"""Checkpoints of a training, and how to go on from them."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import shutil
import threading
import zipfile
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.callbacks.averaging_stopping import AveragingStopping
from deepfm_tf.callbacks.checkpoint_stopping import CheckpointStopping
from deepfm_tf.callbacks.epoch_values import (
    Shared,
    read_values,
    small_values,
    variables_of,
    write_shared,
    write_values,
)
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.keras_internals import (
    is_config_and_variables,
    skip_epochs,
    skip_no_epochs,
)
from deepfm_tf.row_shards import current_row_shards
from deepfm_tf.storage import replacing, sync, write_text
from deepfm_tf.strategies import agree, exchange, is_chief

# TensorBoard's files, in the directory of the checkpoints.
TENSORBOARD = "tensorboard"

_STATE_FILE = "state.json"
_LOG_FILE = "log.csv"
# What changes from epoch to epoch; and all the rest, once for each `fit`.
_EPOCH_FILE = "epoch-{:04d}.npz"
_CONFIG_FILE = "model-{:04d}.json"
# Of a model with layers that keep something else, such as looked-up texts.
_MODEL_FILE = "model-{:04d}.keras"
# Of an `AveragingStopping`: what it compares with, and its mean so far.
_BEST_FILE = "epoch-{:04d}-best.npy"
_MEAN_FILE = "epoch-{:04d}-mean.npz"
# Earlier versions wrote `epoch-*.keras`.
_FILES_OF_RUN = ("epoch-*", "model-*.keras", "model-*.json")


class Checkpoints(keras.callbacks.Callback):
    """Keeps the last epoch and the best one on disk, for `load_checkpoint`.

    Every file is written beside its place and then renamed, and
    `state.json`, written last, says which of them count: a run killed at any
    moment can be resumed from its last whole epoch. What the model is made of
    is written once, and the variables alone follow each epoch, of which 65,536
    rows at a time are in memory besides. `log.csv` holds the logs of all
    epochs, resumed ones included. Of several workers, the chief alone writes,
    but for the rows of a table that they share out; all read, so that the
    directory must be one that they share.

    Args:
        directory: where to keep them.
        early_stopping: the `EarlyStopping` whose patience and best epoch are
            kept too: a `CheckpointStopping`, or one that keeps the best
            weights in memory. Give it to `fit` before this callback. Optional.
        plateau: the `ReduceLROnPlateau`, of the same monitor, that is to
            remember the best epoch too. Give it to `fit` before this
            callback. Optional.
        validation: the `ValidationMetrics` that evaluates an epoch. On one
            replica, the epoch is written meanwhile, by a thread that has ended
            when the evaluation has. Give it to `fit` before this callback,
            with none in between that changes a table. Optional.
    """

    def __init__(
        self,
        directory: str | Path,
        early_stopping: keras.callbacks.EarlyStopping | None = None,
        plateau: keras.callbacks.ReduceLROnPlateau | None = None,
        validation: ValidationMetrics | None = None,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.early_stopping = early_stopping
        self.plateau = plateau
        self.history: dict[str, list[float]] = {}
        self._model_file: str | None = None
        self._best_file = ""
        self._shared: dict[str, Shared] = {}
        # Of the epoch that is on the disk already.
        self._small_values: list[bytes] | None = None
        if validation is not None:
            validation.meanwhile = self._writing_ahead
        if isinstance(early_stopping, CheckpointStopping):
            early_stopping.restore = self._restore_best

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start afresh, or where the loaded checkpoint stopped."""
        self.history, self._shared = {}, {}
        self._model_file, self._best_file = None, ""
        self._small_values = None
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
        if writes:
            self._remove_unfinished()
        self.history, self._shared = state["history"], state.get("shared", {})
        stopping = self.early_stopping
        if stopping is None or state["best_checkpoint"] is None:
            return
        self._best_file = state["best_checkpoint"]
        stopping.best = state["best"]
        stopping.best_epoch = state["best_epoch"]
        stopping.wait = state["wait"]
        if self.plateau is not None:
            self.plateau.best = state["best"]
            self.plateau.wait = state["wait"] % self.plateau.patience
        weights = self.model.weights
        if isinstance(stopping, CheckpointStopping):
            # Damage is told now, not at the end of the training.
            self._read_best([None] * len(weights))
        else:
            stopping.best_weights = [
                np.zeros(w.shape, w.dtype) for w in weights
            ]
            self._read_best(stopping.best_weights)
        if isinstance(stopping, AveragingStopping) and "best_rows" in state:
            rows = np.load(self.directory / state["best_rows"])
            stopping.best_probability = rows
            stopping.num_averaged = state["num_averaged"]
        if state["ended"]:
            skip_epochs(self.model)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Save the epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        stopping = self.early_stopping
        checkpoint = _EPOCH_FILE.format(epoch + 1)
        weights_of: dict[str, Sequence[Array]] = {checkpoint: ()}
        mean_file = None
        if (
            isinstance(stopping, AveragingStopping)
            and stopping.num_averaged > 1
        ):
            mean_file = _MEAN_FILE.format(epoch + 1)
            weights_of[mean_file] = stopping.best_weights
        for name, weights in weights_of.items():
            shared = write_shared(self.directory, name, self.model, weights)
            if shared is not None:
                self._shared[name] = shared
        if stopping is not None and stopping.best_epoch == epoch:
            self._best_file = checkpoint
        elif mean_file is not None:
            self._best_file = mean_file
        if not is_chief(self.model.distribute_strategy):
            return
        if self._model_file is None:
            is_enough = self._shared or is_config_and_variables(self.model)
            name = _CONFIG_FILE if is_enough else _MODEL_FILE
            self._model_file = name.format(epoch + 1)
            with replacing(self.directory / self._model_file) as path:
                _write_model(path, self.model)
        state: dict[str, Any] = {
            "model": self._model_file,
            "checkpoint": checkpoint,
            "best_checkpoint": None,
            "epoch": epoch + 1,
            "history": self.history,
        }
        if stopping is not None and _knows_best(stopping):
            state |= {
                "best_checkpoint": self._best_file,
                "best": stopping.best,
                "best_epoch": stopping.best_epoch,
                "wait": stopping.wait,
                "ended": 0 < epoch == stopping.stopped_epoch,
            }
            state |= self._write_best_rows(epoch)
        if self._small_values == small_values(self.model):
            del weights_of[checkpoint]
        self._small_values = None
        for name, weights in weights_of.items():
            with replacing(self.directory / name) as path:
                write_values(path, self.model, weights)
        with replacing(self.directory / _LOG_FILE) as path:
            self._write_log(path)
        kept = {state["checkpoint"], state["best_checkpoint"]}
        self._shared = {n: s for n, s in self._shared.items() if n in kept}
        if self._shared:
            state["shared"] = self._shared
        text = json.dumps(state, indent=1)
        write_text(self.directory / _STATE_FILE, text)
        kept |= {name for s in self._shared.values() for name in s["files"]}
        kept |= {state["model"], state.get("best_rows")}
        drop_checkpoints(self.directory, kept)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the model as any other."""
        skip_no_epochs(self.model)

    @contextlib.contextmanager
    def _writing_ahead(self, epoch: int) -> Iterator[None]:
        """Write an epoch during the block, and to the end."""
        # What the replicas of a variable are together, they say together.
        if self.model.distribute_strategy.num_replicas_in_sync > 1:
            yield
            return
        values, stopped = small_values(self.model), threading.Event()
        path = self.directory / _EPOCH_FILE.format(epoch + 1)
        with replacing(path) as temporary, ThreadPoolExecutor(1) as pool:

            def write() -> None:
                write_values(temporary, self.model, (), stopped)
                sync(temporary)

            written = pool.submit(write)
            try:
                yield
                written.result()
            except BaseException:
                stopped.set()
                raise
        # The plateau may yet change the learning rate.
        self._small_values = values

    def _restore_best(self) -> None:
        # The chief may still be writing.
        exchange(self.model.distribute_strategy, self._best_file)
        self._read_best(self.model.weights)

    def _read_best(self, targets: Sequence[Any]) -> None:
        shared = self._shared.get(self._best_file)
        path = self.directory / self._best_file
        read_values(path, shared, self.model, targets)

    def _write_best_rows(self, epoch: int) -> dict[str, Any]:
        stopping = self.early_stopping
        if not isinstance(stopping, AveragingStopping):
            return {}
        if stopping.best_probability is None:
            return {}
        name = _BEST_FILE.format(epoch + 1)
        with replacing(self.directory / name) as path, open(path, "wb") as file:
            np.save(file, stopping.best_probability)
        return {"best_rows": name, "num_averaged": stopping.num_averaged}

    def _write_log(self, path: Path) -> None:
        rows = itertools.zip_longest(*self.history.values(), fillvalue="")
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history])
            writer.writerows((n, *row) for n, row in enumerate(rows, 1))

    def _remove_unfinished(self) -> None:
        """What a kill has left of the files that were being written."""
        for path in self.directory.glob(".tmp-*"):
            path.unlink()

    def _remove_old_run(self) -> None:
        # First what says that the rest counts.
        (self.directory / _STATE_FILE).unlink()
        drop_checkpoints(self.directory)
        (self.directory / _LOG_FILE).unlink(missing_ok=True)
        self._remove_unfinished()
        shutil.rmtree(self.directory / TENSORBOARD, ignore_errors=True)


def read_state(directory: str | Path) -> dict[str, Any] | None:
    """What `Checkpoints` left in a directory; None if there is nothing."""
    path = Path(directory) / _STATE_FILE
    if not path.is_file():
        return None
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state


def load_checkpoint(
    directory: str | Path, best: bool = False
) -> tuple[keras.Model, int]:
    """The model of a stopped run, compiled as it was, to go on with.

    Call it inside `strategy.scope()`, and give `fit` the `initial_epoch` and
    callbacks made anew by `training_callbacks` for the same directory. A run
    that early stopping had ended does no further epoch then, and comes out of
    `fit` with its best weights again.

    Args:
        directory: the one given to `training_callbacks`.
        best: bool. The best epoch, with the optimizer as it was then, in
            place of the last: what another day goes on with (`grow_model`).

    Returns:
        `(model, initial_epoch)`.
    """
    state = read_state(directory)
    if state is None:
        raise MissingFileError(
            f"{directory} holds no checkpoint to resume from: no epoch was "
            "finished there. Start without resuming."
        )
    if "model" not in state:
        raise UserError(
            f"{directory} must hold a checkpoint of version 0.7 or later. "
            "Received: one of an earlier version, whose files differ. Start "
            "without resuming."
        )
    name = (best and state["best_checkpoint"]) or state["checkpoint"]
    path = Path(directory) / name
    model = _read_model(path.with_name(state["model"]))
    shared = state.get("shared", {}).get(name)
    read_values(path, shared, model, variables_of(model))
    agree(model.distribute_strategy, path.name, "last checkpoint")
    model._deepfm_tf_resumed = path.resolve()
    return model, state["epoch"]


def drop_checkpoints(directory: Path, kept: Container[str] = ()) -> None:
    """Remove the checkpoints of a run.

    Args:
        directory: where `Checkpoints` left them.
        kept: names of files to leave.
    """
    for pattern in _FILES_OF_RUN:
        for path in directory.glob(pattern):
            if path.name not in kept:
                path.unlink()


def _knows_best(stopping: keras.callbacks.EarlyStopping) -> bool:
    if isinstance(stopping, CheckpointStopping):
        return stopping.best is not None
    return stopping.best_weights is not None


def _write_model(path: Path, model: keras.Model) -> None:
    if path.suffix == ".keras":
        model.save(path)
        return
    text = json.dumps(keras.saving.serialize_keras_object(model))
    path.write_text(text, encoding="utf-8")


def _read_model(path: Path) -> keras.Model:
    if path.suffix == ".keras" and current_row_shards() is None:
        return keras.saving.load_model(path)
    # All values come from the epoch's files.
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            text = archive.read("config.json").decode()
    else:
        text = path.read_text(encoding="utf-8")
    return keras.saving.deserialize_keras_object(json.loads(text))
