"""Strategy, compile, early stopping, checkpoints and resume."""

import importlib.util

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf import training
from tests.catalogue import build
from tests.conftest import make_log


@pytest.fixture(scope="module")
def data(vocabulary):
    train = deepfm_tf.dataset_from_memory(make_log(600, 3), vocabulary, 128)
    valid = deepfm_tf.dataset_from_memory(make_log(300, 4), vocabulary, 128)
    return train, valid


def new_model(vocabulary, **arguments):
    deepfm_tf.set_seed(1)
    model = build("DeepFM", vocabulary.schema, **arguments)
    deepfm_tf.compile_model(model, learning_rate=0.02)
    return model


def fit(model, data, epochs, callbacks, first=0):
    return model.fit(
        data[0],
        epochs=epochs,
        initial_epoch=first,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )


@pytest.mark.parametrize("monitor", ["log_loss", "auc"])
def test_early_stopping_brings_the_best_weights_back(monitor, vocabulary, data):
    model = new_model(vocabulary)
    callbacks = deepfm_tf.training_callbacks(
        data[1], patience=2, monitor=monitor
    )

    history = fit(model, data, 60, callbacks).history[f"val_{monitor}"]

    best = min(history) if monitor == "log_loss" else max(history)
    assert len(history) < 60
    assert history[-3] == best
    assert deepfm_tf.evaluate(model, data[1])[monitor] == pytest.approx(best)


def test_resuming_equals_never_having_stopped(vocabulary, data, tmp_path):
    whole = new_model(vocabulary)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "whole")
    fit(whole, data, 4, callbacks)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    fit(new_model(vocabulary), data, 2, callbacks)

    model, first = deepfm_tf.load_checkpoint(tmp_path / "cut")
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    fit(model, data, 4, callbacks, first)

    assert first == 2
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    states = [training.read_state(tmp_path / n) for n in ("whole", "cut")]
    for key in ("epoch", "best_epoch", "wait"):
        assert states[0][key] == states[1][key]
    assert len(states[1]["history"]["loss"]) == 4
    assert len((tmp_path / "cut" / "log.csv").read_text().splitlines()) == 5


# Keras leaves its CSV log open when it is interrupted.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_patience_goes_on_after_resuming(vocabulary, data, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if callbacks[1].wait == 1:
                raise KeyboardInterrupt

    model = new_model(vocabulary)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, 60, [*callbacks, Stop()])
    state = training.read_state(tmp_path)

    model, first = deepfm_tf.load_checkpoint(tmp_path)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path)
    history = fit(model, data, 60, callbacks, first).history["val_log_loss"]

    assert state["wait"] == 1
    assert len(history) == 1 or min(history) < state["best"]
    best = min(state["best"], *history)
    found = deepfm_tf.evaluate(model, data[1])["log_loss"]
    assert found == pytest.approx(best, rel=1e-6)


def test_a_new_run_in_an_old_directory_starts_afresh(
    vocabulary, data, tmp_path
):
    for epochs in (2, 1):
        callbacks = deepfm_tf.training_callbacks(data[1], tmp_path)
        fit(new_model(vocabulary), data, epochs, callbacks)

    assert training.read_state(tmp_path)["epoch"] == 1
    assert [p.name for p in tmp_path.glob("*.keras")] == ["epoch-0001.keras"]


def test_seeds_make_runs_repeatable(vocabulary, data):
    runs = [
        fit(new_model(vocabulary, dropout=0.3), data, 2, []).history["loss"]
        for _ in range(2)
    ]

    assert runs[0] == runs[1]


def test_tensorboard_files_are_written(vocabulary, data, tmp_path):
    callbacks = deepfm_tf.training_callbacks(
        data[1], tmp_path, tensorboard=True
    )

    fit(new_model(vocabulary), data, 1, callbacks)

    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_a_missing_tensorboard_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ImportError, match="pip install tensorboard"):
        deepfm_tf.training_callbacks(data[1], tmp_path, tensorboard=True)


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_every_optimizer_steps(optimizer, vocabulary, data):
    model = build("FM", vocabulary.schema)
    deepfm_tf.compile_model(model, optimizer, learning_rate=0.02)
    before = model.get_weights()

    loss = fit(model, data, 1, []).history["loss"]

    assert np.isfinite(loss).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).any()


def test_wrong_arguments_are_refused(vocabulary, data, tmp_path):
    model = build("FM", vocabulary.schema)
    with pytest.raises(ValueError, match="`optimizer` must be one of adam"):
        deepfm_tf.compile_model(model, "adamm")
    with pytest.raises(ValueError, match="`learning_rate` must be positive"):
        deepfm_tf.compile_model(model, learning_rate=0)
    with pytest.raises(ValueError, match="`monitor` must be one of"):
        deepfm_tf.training_callbacks(data[1], monitor="loss")
    with pytest.raises(ValueError, match="`num_replicas` must be a positive"):
        deepfm_tf.create_strategy(0)
    with pytest.raises(RuntimeError, match="64 replicas on the CPU need"):
        deepfm_tf.create_strategy(64)
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        deepfm_tf.load_checkpoint(tmp_path)


def test_a_reshuffled_data_set_cannot_be_evaluated(vocabulary):
    model = build("FM", vocabulary.schema)
    dataset = deepfm_tf.dataset_from_memory(
        make_log(300), vocabulary, 64, shuffle=True
    )

    with pytest.raises(ValueError, match="must keep its order"):
        deepfm_tf.evaluate(model, dataset)
