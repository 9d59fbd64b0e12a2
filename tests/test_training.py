"""Strategy, compile, early stopping, checkpoints and resume."""

import importlib.util
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import sklearn.metrics

import deepfm_tf
from deepfm_tf.callbacks import read_state
from deepfm_tf.evaluation import predict_with_labels
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


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resuming_equals_never_having_stopped(
    dropout, vocabulary, data, tmp_path
):
    whole = new_model(vocabulary, dropout=dropout)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "whole")
    fit(whole, data, 4, callbacks)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    fit(new_model(vocabulary, dropout=dropout), data, 2, callbacks)

    model, first = deepfm_tf.load_checkpoint(tmp_path / "cut")
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    fit(model, data, 4, callbacks, first)

    assert first == 2
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    states = [read_state(tmp_path / n) for n in ("whole", "cut")]
    for key in ("epoch", "best_epoch", "wait"):
        assert states[0][key] == states[1][key]
    assert len(states[1]["history"]["loss"]) == 4
    assert len((tmp_path / "cut" / "log.csv").read_text().splitlines()) == 5


def test_an_interrupted_run_goes_on_as_if_undisturbed(
    vocabulary, data, tmp_path
):
    class Interrupt(keras.callbacks.Callback):
        """Ctrl-C in the middle of the epoch after the best one but one."""

        def on_train_batch_end(self, batch, logs=None):
            if batch == 2 and callbacks[1].wait == 1:
                raise KeyboardInterrupt

    whole = new_model(vocabulary)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "whole")
    fit(whole, data, 60, callbacks)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(vocabulary), data, 60, [*callbacks, Interrupt()])
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
    assert states[0].keys() == states[1].keys()
    for key, values in states[0].pop("history").items():
        # One instruction path or another, through some 50 steps of Adam.
        resumed = states[1]["history"][key]
        np.testing.assert_allclose(resumed, values, rtol=1e-5, err_msg=key)
    del states[1]["history"], states[0]["best"], states[1]["best"]
    assert states[0] == states[1]
    assert whole.optimizer.iterations == model.optimizer.iterations
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_run_that_had_ended_does_no_further_epoch(vocabulary, data, tmp_path):
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, patience=1)
    ended = new_model(vocabulary)
    fit(ended, data, 60, callbacks)

    model, first = deepfm_tf.load_checkpoint(tmp_path)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, patience=1)
    history = fit(model, data, 60, callbacks, first).history

    assert history == {}
    for a, b in zip(ended.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow_process
def test_a_run_killed_within_an_epoch_resumes_after_the_last_whole_one(
    vocabulary, data, tmp_path
):
    fit(
        new_model(vocabulary),
        data,
        2,
        deepfm_tf.training_callbacks(data[1], tmp_path),
    )
    program = """
        import os, signal, sys, numpy, keras, deepfm_tf

        class Kill(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 1 and os.path.exists(folder + "/epoch-0003.keras"):
                    open(folder + "/.tmp-epoch-0004.keras", "w").write("half")
                    os.kill(os.getpid(), signal.SIGKILL)

        folder = sys.argv[1]
        arrays = dict(numpy.load(folder + "/data.npz"))
        label = arrays.pop("label")
        model, first = deepfm_tf.load_checkpoint(folder)
        data = deepfm_tf.dataset_from_ids(arrays, label, model.schema, 128)
        callbacks = deepfm_tf.training_callbacks(data, folder)
        model.fit(data, epochs=9, initial_epoch=first, verbose=0,
                  callbacks=[*callbacks, Kill()])
    """
    log = make_log(600, 3)
    packed = deepfm_tf.encode(log, vocabulary)
    np.savez(tmp_path / "data.npz", label=log["clicked"], **packed)

    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True,
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    model, first = deepfm_tf.load_checkpoint(tmp_path)
    assert first == 3
    fit(
        model,
        data,
        4,
        deepfm_tf.training_callbacks(data[1], tmp_path),
        first,
    )
    assert read_state(tmp_path)["epoch"] == 4
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", *"1234"]


def test_a_new_run_in_an_old_directory_starts_afresh(
    vocabulary, data, tmp_path
):
    for epochs in (2, 1):
        callbacks = deepfm_tf.training_callbacks(data[1], tmp_path)
        fit(new_model(vocabulary), data, epochs, callbacks)

    assert read_state(tmp_path)["epoch"] == 1
    assert [p.name for p in tmp_path.glob("*.keras")] == ["epoch-0001.keras"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2


def test_a_checkpoint_of_another_directory_does_not_count(
    vocabulary, data, tmp_path
):
    for name in ("a", "b"):
        callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / name)
        fit(new_model(vocabulary), data, 1, callbacks)

    model, _ = deepfm_tf.load_checkpoint(tmp_path / "a")
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path / "b")
    fit(model, data, 1, callbacks)

    assert len(read_state(tmp_path / "b")["history"]["loss"]) == 1


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
    deepfm_tf.compile_model(model, learning_rate=1e-6)

    history = fit(
        model, (data, data), 1, deepfm_tf.training_callbacks(data)
    ).history

    p = predict_with_labels(model, data)[1]
    assert 0.0005 < click.mean() < 0.002
    expected = sklearn.metrics.roc_auc_score(click, p)
    assert 0.6 < expected < 0.95
    assert history["val_auc"] == [pytest.approx(expected, abs=1e-12)]
    expected = sklearn.metrics.log_loss(click, p.astype("float64"))
    assert history["val_log_loss"] == [pytest.approx(expected, rel=1e-9)]


def test_the_auc_of_one_class_cannot_be_monitored(vocabulary, data):
    clicks = make_log(50)
    clicks["clicked"] = 1
    one_class = deepfm_tf.dataset_from_memory(clicks, vocabulary)
    callbacks = deepfm_tf.training_callbacks(one_class, monitor="auc")

    with pytest.raises(ValueError, match="must hold both classes"):
        fit(new_model(vocabulary), data, 1, callbacks)


def test_a_process_has_one_strategy_over_the_same_devices():
    strategies = [deepfm_tf.create_strategy(n) for n in (1, 2, 2)]

    assert [s.num_replicas_in_sync for s in strategies] == [1, 2, 2]
    assert strategies[1] is strategies[2]


@pytest.mark.parametrize("batch_size", [64, 7])
def test_two_replicas_keep_the_order_of_odd_batches(batch_size, vocabulary):
    # 193 = 3 * 64 + 1 = 27 * 7 + 4: one replica gets less, or nothing.
    log = make_log(193, 5)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, batch_size)
    with deepfm_tf.create_strategy(2).scope():
        model = build("FM", vocabulary.schema)
    model.shared_embedding.embeddings.assign(
        np.random.default_rng(0).normal(
            size=model.shared_embedding.embeddings.shape
        )
    )

    label, probability = predict_with_labels(model, dataset)

    one_pass = model(deepfm_tf.encode(log, vocabulary))["probability"]
    np.testing.assert_array_equal(label, log["clicked"])
    np.testing.assert_allclose(probability, one_pass[:, 0], atol=1e-6)


def test_a_last_batch_that_leaves_a_replica_idle_is_trained_on(vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(129), vocabulary, 64)
    with deepfm_tf.create_strategy(2).scope():
        model = build("DeepFM", vocabulary.schema)
        deepfm_tf.compile_model(model)

    loss = fit(model, (dataset,), 2, []).history["loss"]

    assert np.isfinite(loss).all() and loss[1] < loss[0]
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.optimizer.iterations == 6


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


@pytest.mark.parametrize("optimizer", deepfm_tf.OPTIMIZERS)
def test_every_optimizer_steps(optimizer, vocabulary, data):
    model = build("FM", vocabulary.schema)
    deepfm_tf.compile_model(model, optimizer, learning_rate=0.02)
    before = model.get_weights()

    loss = fit(model, data, 1, []).history["loss"]

    assert np.isfinite(loss).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).any()


@pytest.mark.parametrize("optimizer", ["lazy_adam", "adam"])
def test_gradients_are_clipped_by_their_common_norm(
    optimizer, vocabulary, data
):
    norms = []
    for clip_norm in (None, 1e-9):
        deepfm_tf.set_seed(1)
        model = build("FM", vocabulary.schema)
        before = model.get_weights()
        deepfm_tf.compile_model(model, optimizer, clip_norm=clip_norm)
        fit(model, data, 1, [])
        moved = map(np.subtract, model.get_weights(), before)
        norms.append(np.sqrt(sum(np.sum(part**2) for part in moved)))

    # Next to Adam's epsilon of 1e-7, gradients of 1e-9 are small.
    assert norms[1] < 0.05 * norms[0]


def test_touched_l2_keeps_embeddings_small(vocabulary, data):
    norms = []
    for touched_l2 in (None, 0.1):
        deepfm_tf.set_seed(1)
        model = build("FM", vocabulary.schema)
        deepfm_tf.compile_model(model, touched_l2=touched_l2)
        fit(model, data, 5, [])
        norms.append(np.linalg.norm(model.embedding_layer.embeddings.numpy()))

    assert norms[1] < 0.7 * norms[0]


def test_sampled_training_data_leave_probabilities_calibrated(tmp_path):
    # One row in eight is a click, 50,000 in each half: a standard deviation
    # of 0.4 % in each. A tenth of the negatives is kept.
    random = np.random.default_rng(0)
    site = random.integers(0, 8, 800_000)
    odds = np.exp(-3 + 0.25 * site)
    click = (random.random(len(site)) < odds / (1 + odds)).astype(int)
    rows = {"site": site.astype(str), "click": click}
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "click")
    train = deepfm_tf.prepare(
        rows,
        tmp_path / "train",
        schema=schema,
        part=deepfm_tf.Part(0.0, 0.5, negatives=0.1),
    )
    test = deepfm_tf.prepare(
        rows,
        tmp_path / "test",
        vocabulary=train.vocabulary,
        part=deepfm_tf.Part(0.5, 1.0),
    )
    deepfm_tf.set_seed(1)
    calibrations = {}
    for share in (train.negative_sampling, 1.0):
        model = deepfm_tf.LogisticRegression(
            train.schema, negative_sampling=share
        )
        deepfm_tf.compile_model(model, learning_rate=0.05)
        data = train.dataset(4096, shuffle=True)
        fit(model, (data,), 5, [])
        # Else the bias wanders by the size of a step.
        model.optimizer.learning_rate = 0.002
        fit(model, (data,), 3, [])
        metrics = deepfm_tf.evaluate(model, test.dataset(8192))
        calibrations[share] = metrics["calibration_ratio"]

    assert calibrations[0.1] == pytest.approx(1, abs=0.01)
    assert calibrations[1.0] > 3


class Plateau(keras.callbacks.Callback):
    """Puts given metrics in the place of the validation's."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.rates = []

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        logs["val_log_loss"] = self.losses[epoch]


def fit_on_plateau(model, data, losses, callbacks, epochs=9, first=0):
    plateau = Plateau(losses)
    # After the validation, before what reads it.
    fit(model, data, epochs, [callbacks[0], plateau, *callbacks[1:]], first)
    return plateau.rates


def test_the_learning_rate_falls_at_each_miss_and_two_end_training(
    vocabulary, data
):
    losses = [0.6, 0.5, 0.51, 0.49, 0.4900001, 0.52, 0.1, 0.1, 0.1]
    rates = [
        fit_on_plateau(
            new_model(vocabulary),
            data,
            losses,
            deepfm_tf.training_callbacks(data[1], reduce_lr=reduce_lr),
        )
        for reduce_lr in (True, False)
    ]

    high, low, lowest = 0.02, 0.002, 0.0002
    expected = [high, high, high, low, low, lowest]
    np.testing.assert_allclose(rates[0], expected, rtol=1e-5)
    np.testing.assert_allclose(rates[1], [high] * 6, rtol=1e-6)


def test_a_reduced_learning_rate_outlives_a_resumption(
    vocabulary, data, tmp_path
):
    losses = [0.5, 0.51, 0.49, 0.495, 0.48, 0.5]
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, reduce_lr=True)
    fit_on_plateau(new_model(vocabulary), data, losses, callbacks, 3)

    model, first = deepfm_tf.load_checkpoint(tmp_path)
    callbacks = deepfm_tf.training_callbacks(data[1], tmp_path, reduce_lr=True)
    rates = fit_on_plateau(model, data, losses, callbacks, 6, first)

    # Epoch 4 is worse than epoch 3, which only the first run has seen.
    np.testing.assert_allclose(rates, [0.002, 0.0002, 0.0002], rtol=1e-5)


def test_wrong_arguments_are_refused(vocabulary, data, tmp_path):
    model = build("FM", vocabulary.schema)
    with pytest.raises(ValueError, match="`optimizer` must be one of lazy"):
        deepfm_tf.compile_model(model, "adamm")
    with pytest.raises(ValueError, match="`learning_rate` must be positive"):
        deepfm_tf.compile_model(model, learning_rate=0)
    with pytest.raises(ValueError, match="which rows a batch touches: lazy_"):
        deepfm_tf.compile_model(model, "adam", touched_l2=0.1)
    with pytest.raises(ValueError, match="`precision` must be one of.*'half'"):
        deepfm_tf.set_precision("half")
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
