"""Early stopping, checkpoints and resume."""

import importlib.util
import json
import shutil

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

import deepfm_tf
from deepfm_tf.callbacks.checkpoints import Checkpoints, read_state
from deepfm_tf.evaluation import predict_with_labels
from tests.callbacks.as_when_new import as_when_new
from tests.catalogue import build
from tests.conftest import make_log


@pytest.fixture(scope="module")
def data(small_vocabulary):
    # Whole batches: each other size is traced and compiled anew.
    return tuple(
        deepfm_tf.dataset_from_memory(
            make_log(rows, seed), small_vocabulary, 128
        )
        for rows, seed in ((640, 3), (256, 4))
    )


@pytest.fixture(scope="module")
def new_model(small_vocabulary):
    """Gives a compiled model as it was when new, but traced only once."""
    deepfm_tf.set_seed(1)
    # What dropout draws must go on after a resumption, too.
    model = build("DeepFM", small_vocabulary.schema, dropout=0.3)
    deepfm_tf.compile_model(model, learning_rate=0.05)
    return as_when_new(model)


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
def test_early_stopping_brings_the_best_weights_back(monitor, new_model, data):
    model = new_model()
    callbacks = deepfm_tf.training_callbacks(
        data[1], patience=2, monitor=monitor
    )

    history = fit(model, data, 60, callbacks).history[f"val_{monitor}"]

    best = min(history) if monitor == "log_loss" else max(history)
    assert len(history) < 60
    assert history[-3] == best
    assert deepfm_tf.evaluate(model, data[1])[monitor] == pytest.approx(best)


# Stopped between two epochs; within one, and with dropout, in the next.
@pytest.mark.long
def test_resuming_equals_never_having_stopped(small_vocabulary, data, tmp_path):
    def train(name, epochs, model=None, first=0):
        if model is None:
            model = build("LogisticRegression", small_vocabulary.schema)
            deepfm_tf.compile_model(model, learning_rate=0.05)
        model.run_eagerly = True
        callbacks = deepfm_tf.training_callbacks(
            data[1], tmp_path / name, patience=9
        )
        fit(model, data, epochs, callbacks, first)

    train("whole", 2)
    train("cut", 1)

    model, first = deepfm_tf.load_checkpoint(tmp_path / "cut")
    train("cut", 2, model, first)

    assert first == 1
    # The best weights, which are back now, may be of an epoch before that.
    last, resumed = (
        deepfm_tf.load_checkpoint(tmp_path / name)[0].get_weights()
        for name in ("whole", "cut")
    )
    for a, b in zip(last, resumed, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    states = [read_state(tmp_path / n) for n in ("whole", "cut")]
    for key in ("epoch", "best_epoch", "wait"):
        assert states[0][key] == states[1][key]
    assert len(states[1]["history"]["loss"]) == 2
    assert len((tmp_path / "cut" / "log.csv").read_text().splitlines()) == 3


def test_an_interrupted_run_goes_on_as_if_undisturbed(
    new_model, data, tmp_path
):
    class Interrupt(keras.callbacks.Callback):
        """Ctrl-C in the middle of the epoch after the best one but one."""

        def on_train_batch_end(self, batch, logs=None):
            if batch == 2 and callbacks[1].wait == 1:
                raise KeyboardInterrupt

    whole = new_model()
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "whole")
    fit(whole, data, 60, callbacks)
    expected, steps = whole.get_weights(), int(whole.optimizer.iterations)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), data, 60, [*callbacks, Interrupt()])
    cut = read_state(tmp_path / "cut")

    model, first = deepfm_tf.load_checkpoint(tmp_path / "cut")
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    fit(model, data, 60, callbacks, first)

    # The best epoch was not the last one: its weights, and the last one's
    # optimizer, had to come back.
    assert (cut["wait"], cut["epoch"]) == (1, first)
    states = [read_state(tmp_path / n) for n in ("whole", "cut")]
    for state in states:
        del state["history"]["train_seconds"]
    # Each `fit` writes its own.
    assert states[0].pop("model") == "model-0001.json"
    assert states[1].pop("model") == f"model-{first + 1:04d}.json"
    assert states[0].keys() == states[1].keys()
    for key, values in states[0].pop("history").items():
        # One instruction path or another, through some 50 steps of Adam.
        resumed = states[1]["history"][key]
        np.testing.assert_allclose(resumed, values, rtol=1e-5, err_msg=key)
    del states[1]["history"], states[0]["best"], states[1]["best"]
    assert states[0] == states[1]
    assert model.optimizer.iterations == steps
    for a, b in zip(expected, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_run_that_had_ended_does_no_further_epoch(new_model, data, tmp_path):
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, patience=1)
    ended = new_model()
    fit(ended, data, 60, callbacks)

    model, first = deepfm_tf.load_checkpoint(tmp_path)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, patience=1)
    history = fit(model, data, 60, callbacks, first).history

    assert history == {}
    for a, b in zip(ended.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_killed_within_an_epoch_resumes_after_the_last_whole_one(
    new_model, data, tmp_path
):
    running, killed = tmp_path / "running", tmp_path / "killed"

    class Kill(keras.callbacks.Callback):
        """Keeps what is on disk at that moment: all that a kill leaves."""

        def on_train_batch_end(self, batch, logs=None):
            if batch == 1 and (running / "epoch-0002.npz").exists():
                shutil.copytree(running, killed)
                (killed / ".tmp-epoch-0003.npz").write_text("half")
                raise KeyboardInterrupt

    callbacks = deepfm_tf.training_callbacks(data[1], running)
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), data, 9, [*callbacks, Kill()])

    model, first = deepfm_tf.load_checkpoint(killed)
    model.run_eagerly = True  # an epoch of five steps
    callbacks = deepfm_tf.training_callbacks(data[1], killed)
    fit(model, data, 3, callbacks, first)

    assert first == 2
    assert read_state(killed)["epoch"] == 3
    log = (killed / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", *"123"]


@pytest.fixture
def stopped_run(tmp_path):
    """A directory as a run leaves it whose third epoch was no better."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "model-0001.keras")
    values = [*model.get_weights(), *map(np.array, model.optimizer.variables)]
    for number in (2, 3):
        np.savez(tmp_path / f"epoch-000{number}.npz", *values)
    state = {
        "model": "model-0001.keras",
        "checkpoint": "epoch-0003.npz",
        "best_checkpoint": "epoch-0002.npz",
        "epoch": 3,
        "history": {"val_log_loss": [0.6, 0.5, 0.51]},
        "best": 0.5,
        "best_epoch": 1,
        "wait": 1,
        "ended": False,
    }
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "log.csv").write_text("epoch,val_log_loss\n")
    return tmp_path


def begin_training(model, directory, patience=2, **kwargs):
    """The callbacks of a run that has begun."""
    callbacks = deepfm_tf.training_callbacks(
        [], directory, patience=patience, **kwargs
    )
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    return callbacks


def test_a_type_that_numpy_does_not_know_is_kept(tmp_path):
    layer = keras.layers.Dense(3, dtype="bfloat16")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("sgd", "mse")
    callback = Checkpoints(tmp_path)
    callback.set_model(model)
    callback.on_train_begin()
    layer.kernel.assign([[0.5, 1.0, 1.5], [-2.0, 0.0, 3.0]])

    callback.on_epoch_end(0, {})

    kernel, _ = deepfm_tf.load_checkpoint(tmp_path)[0].get_weights()
    assert kernel.dtype.name == "bfloat16"
    assert kernel.tolist() == [[0.5, 1.0, 1.5], [-2.0, 0.0, 3.0]]


def test_patience_counts_the_epochs_before_a_resumption(stopped_run):
    model, first = deepfm_tf.load_checkpoint(stopped_run)

    _, stopping, _ = begin_training(model, stopped_run)
    assert (first, stopping.wait, stopping.best) == (3, 1, 0.5)
    stopping.on_epoch_end(3, {"val_log_loss": 0.52})

    assert model.stop_training


def test_a_new_run_leaves_nothing_of_an_old_one_to_resume(stopped_run):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    begin_training(model, stopped_run)

    # It may be stopped before its first epoch is whole.
    assert list(stopped_run.iterdir()) == []


def test_a_new_run_in_an_old_directory_starts_afresh(new_model, data, tmp_path):
    for epochs in (2, 1):
        callbacks = deepfm_tf.training_callbacks(data[1], tmp_path)
        fit(new_model(), data, epochs, callbacks)

    assert read_state(tmp_path)["epoch"] == 1
    assert [p.name for p in tmp_path.glob("epoch-*")] == ["epoch-0001.npz"]
    assert [p.name for p in tmp_path.glob("model-*")] == ["model-0001.json"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2


def test_the_checkpoints_of_an_old_run_are_removed(tmp_path):
    state = {"checkpoint": "epoch-0007.npz", "best_checkpoint": None}
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "tensorboard").mkdir()
    # The last but one as an earlier version wrote it.
    for name in (
        *("model-0001.keras", "epoch-0003.npz", "epoch-0007.npz", "log.csv"),
        *("epoch-0003.keras", "mine"),
    ):
        (tmp_path / name).touch()
    callback = Checkpoints(tmp_path)
    callback.set_model(keras.Sequential())

    callback.on_train_begin()

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path):
    state = {"checkpoint": "epoch-0001.keras", "epoch": 1}
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(deepfm_tf.UserError, match="version 0.7 or later"):
        deepfm_tf.load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_directory_does_not_count(data, tmp_path):
    model = any_model()
    for name in ("a", "b"):
        callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / name)
        fit_on_plateau(model, [0.5], callbacks, 1)

    model, _ = deepfm_tf.load_checkpoint(tmp_path / "a")
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "b")
    fit_on_plateau(model, [0.5], callbacks, 1)

    assert len(read_state(tmp_path / "b")["history"]["loss"]) == 1


def test_the_auc_of_one_class_cannot_be_monitored(new_model, data):
    one_class = data[1].map(lambda inputs, label: (inputs, 0 * label))
    validate, _ = deepfm_tf.training_callbacks(one_class, monitor="auc")
    validate.set_model(new_model())

    with pytest.raises(ValueError, match="must hold both classes"):
        validate.on_epoch_end(0, {})


@pytest.mark.parametrize("monitor", ["auc", "log_loss"])
def test_a_model_that_has_diverged_is_called_so(new_model, data, monitor):
    validate, _ = deepfm_tf.training_callbacks(data[1], monitor=monitor)
    model = new_model()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    validate.set_model(model)

    with pytest.raises(
        deepfm_tf.metrics.NotANumberError,
        match="after epoch 1 is not a number: training has diverged. Lower",
    ):
        validate.on_epoch_end(0, {})


def test_tensorboard_files_are_written(new_model, data, tmp_path):
    callbacks = deepfm_tf.training_callbacks(
        data[1], tmp_path, tensorboard=True
    )

    fit(new_model(), data, 1, callbacks)

    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_a_missing_tensorboard_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ImportError, match="pip install tensorboard"):
        deepfm_tf.training_callbacks(data[1], tmp_path, tensorboard=True)


def test_wrong_arguments_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="`monitor` must be one of"):
        deepfm_tf.training_callbacks(data[1], monitor="loss")
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        deepfm_tf.load_checkpoint(tmp_path)


def test_the_validation_auc_is_exact_at_a_rate_of_one_in_a_thousand():
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("x", "none"),), "click")
    model = deepfm_tf.LogisticRegression(schema)
    model.linear_term.bias.assign(-7.5)
    model.linear_term.first_order.embeddings.assign([[1.0], [0.0]])
    random = np.random.default_rng(0)
    x = random.normal(size=(60_000, 1)).astype("float32")
    odds = np.exp(-7.5 + x[:, 0])
    click = (random.random(60_000) < odds / (1 + odds)).astype("float32")
    data = deepfm_tf.dataset_from_ids({"values": x}, click, schema, 8192)
    validate, _ = deepfm_tf.training_callbacks(data)
    validate.set_model(model)
    logs = {}

    validate.on_epoch_end(0, logs)

    p = predict_with_labels(model, data)[1]
    assert 0.0005 < click.mean() < 0.002
    expected = sklearn.metrics.roc_auc_score(click, p)
    assert 0.6 < expected < 0.95
    assert logs["val_auc"] == pytest.approx(expected, abs=1e-12)
    expected = sklearn.metrics.log_loss(click, p.astype("float64"))
    assert logs["val_log_loss"] == pytest.approx(expected, rel=1e-9)


class Plateau(keras.callbacks.Callback):
    """Gives given metrics, in the place of the validation."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.rates = []

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        logs["val_log_loss"] = self.losses[epoch]


def any_model():
    """What the losses are, they say themselves; the model is no matter."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    # An epoch of one step.
    model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
    return model


def fit_on_plateau(model, losses, callbacks, epochs=9, first=0):
    plateau = Plateau(losses)
    fit(
        model,
        [tf.data.Dataset.from_tensors(([[1.0]], [[1.0]]))],
        epochs,
        [plateau, *callbacks[1:]],
        first,
    )
    return plateau.rates


def test_the_learning_rate_falls_at_each_miss_and_two_end_training(data):
    losses = [0.6, 0.5, 0.51, 0.49, 0.4900001, 0.52, 0.1, 0.1, 0.1]
    rates = [
        fit_on_plateau(
            any_model(),
            losses,
            deepfm_tf.training_callbacks(data[1], reduce_lr=reduce_lr),
        )
        for reduce_lr in (True, False)
    ]

    high, low, lowest = 0.05, 0.005, 0.0005
    expected = [high, high, high, low, low, lowest]
    np.testing.assert_allclose(rates[0], expected, rtol=1e-5)
    np.testing.assert_allclose(rates[1], [high] * 6, rtol=1e-6)


def test_a_gain_below_the_least_one_is_none(data):
    # The second and third gain 9e-5 and 2e-5 on the first, the fourth 1.2e-4.
    losses = [0.5, 0.49991, 0.49998, 0.49988, 0.4998, 0.1]
    first, second = (
        fit_on_plateau(
            any_model(),
            part,
            deepfm_tf.training_callbacks(
                data[1], patience=3, reduce_lr=True, min_delta=1e-4
            ),
            len(part),
        )
        for part in (losses[:3] * 2, losses)
    )

    high, low, lowest = 0.05, 0.005, 0.0005
    np.testing.assert_allclose(first, [high, high, low, lowest], rtol=1e-5)
    expected = [high, high, low, lowest, lowest, lowest / 10]
    np.testing.assert_allclose(second, expected, rtol=1e-5)


def test_who_waits_longer_reduces_the_learning_rate_later(data):
    losses = [0.6, 0.5, 0.51, 0.52, 0.49, 0.51, 0.52, 0.53, 0.54, 0.1]
    callbacks = deepfm_tf.training_callbacks(
        data[1], patience=4, reduce_lr=True
    )

    rates = fit_on_plateau(any_model(), losses, callbacks)

    # After two misses in a row; four of them end it.
    expected = [0.05] * 4 + [0.005] * 3 + [0.0005] * 2
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_the_plateau_counts_the_epochs_before_a_resumption(stopped_run):
    model, _ = deepfm_tf.load_checkpoint(stopped_run)

    *_, plateau, _ = begin_training(model, stopped_run, 4, reduce_lr=True)

    assert (plateau.wait, plateau.best) == (1, 0.5)


def test_a_reduced_learning_rate_outlives_a_resumption(data, tmp_path):
    losses = [0.5, 0.51, 0.49, 0.495, 0.48, 0.5]
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, reduce_lr=True)
    fit_on_plateau(any_model(), losses, callbacks, 3)

    model, first = deepfm_tf.load_checkpoint(tmp_path)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, reduce_lr=True)
    rates = fit_on_plateau(model, losses, callbacks, 6, first)

    # Epoch 4 is worse than epoch 3, which only the first run has seen.
    np.testing.assert_allclose(rates, [0.005, 0.0005, 0.0005], rtol=1e-5)
