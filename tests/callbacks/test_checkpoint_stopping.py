"""The best weights, which come back from the disk."""

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks import Checkpoints, CheckpointStopping
from deepfm_tf.callbacks.checkpoints import read_state


def begin(folder, model=None):
    """The callbacks of a training that has begun, and its model."""
    if model is None:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    stopping = CheckpointStopping(monitor="loss", mode="min", patience=2)
    callbacks = stopping, Checkpoints(folder, stopping)
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    return model, callbacks


def run(model, callbacks, losses, first=0):
    """Epochs that leave their number as the bias, and as the step."""
    for epoch, loss in enumerate(losses, first):
        model.layers[-1].bias.assign([epoch])
        model.optimizer.iterations.assign(epoch)
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"loss": loss})


@pytest.mark.parametrize(
    ("losses", "best"),
    [([0.3], 0), ([0.3, 0.2, 0.25], 1), ([0.3, 0.25, 0.2], 2)],
)
def test_the_best_weights_come_back_and_are_nowhere_in_memory(
    losses, best, tmp_path
):
    model, callbacks = begin(tmp_path)
    run(model, callbacks, losses)
    assert callbacks[0].best_weights is None
    # As Keras does at the end, if the optimizer has `use_ema`.
    model.layers[-1].bias.assign([-1.0])

    callbacks[0].on_train_end()

    assert float(model.layers[-1].bias[0]) == best
    # Weights alone, as by Keras.
    assert int(model.optimizer.iterations) == len(losses) - 1


def test_a_resumed_run_goes_back_to_an_epoch_before_its_resumption(tmp_path):
    run(*begin(tmp_path), [0.3, 0.2, 0.25])
    (tmp_path / ".tmp-1-epoch-0004.npz").write_text("of the kill")
    model, epoch = deepfm_tf.load_checkpoint(tmp_path)
    assert float(model.layers[-1].bias[0]) == 2

    model, callbacks = begin(tmp_path, model)
    run(model, callbacks, [0.26], epoch)
    assert model.stop_training
    callbacks[0].on_train_end()

    assert float(model.layers[-1].bias[0]) == 1
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_best_epoch_that_is_damaged_is_told_when_a_run_goes_on(tmp_path):
    run(*begin(tmp_path), [0.2, 0.3])
    path = tmp_path / read_state(tmp_path)["best_checkpoint"]
    content = bytearray(path.read_bytes())
    # Of the kernel, the last before the 30 bytes that announce the bias.
    content[content.index(b"1.npy") - 31] ^= 255
    path.write_bytes(content)
    model, _ = deepfm_tf.load_checkpoint(tmp_path)

    with pytest.raises(deepfm_tf.UserError, match="epoch-0001.npz must hold"):
        begin(tmp_path, model)


def test_an_epoch_that_is_no_number_is_the_best_of_its_like(tmp_path):
    model, callbacks = begin(tmp_path)
    run(model, callbacks, [np.nan, np.nan])
    callbacks[0].on_train_end()

    assert float(model.layers[-1].bias[0]) == 0


def test_nothing_is_restored_of_what_nobody_has_measured(tmp_path):
    model, callbacks = begin(tmp_path)
    with pytest.warns(UserWarning, match="metric `loss` which is not avail"):
        for callback in callbacks:
            callback.on_epoch_end(0, {})
    model.layers[-1].bias.assign([7.0])

    callbacks[0].on_train_end()

    assert float(model.layers[-1].bias[0]) == 7
    assert read_state(tmp_path)["best_checkpoint"] is None


def test_without_checkpoints_it_says_so_before_training():
    stopping = CheckpointStopping(monitor="loss")

    with pytest.raises(deepfm_tf.UserError, match="be given to a Checkpoints"):
        stopping.on_train_begin()


def test_training_callbacks_use_it_where_there_is_a_directory(tmp_path):
    _, stopping, kept = deepfm_tf.training_callbacks([], tmp_path, patience=4)

    assert type(stopping) is CheckpointStopping
    assert kept.early_stopping is stopping
    assert (stopping.patience, stopping.mode) == (4, "min")
