"""What is kept of a training, epoch by epoch."""

import contextlib
import threading

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks import Checkpoints, ValidationMetrics, checkpoints
from deepfm_tf.callbacks.checkpoints import read_state
from tests.catalogue import build


def test_the_best_epoch_can_be_gone_on_with_in_place_of_the_last(tmp_path):
    field = deepfm_tf.CategoricalField("a", vocabulary_size=3)
    model = build("LogisticRegression", deepfm_tf.Schema((field,), "y"))
    deepfm_tf.compile_model(model)
    stopping = keras.callbacks.EarlyStopping(
        "val_log_loss", mode="min", restore_best_weights=True, patience=3
    )
    kept = Checkpoints(tmp_path, stopping)
    for callback in (stopping, kept):
        callback.set_model(model)
        callback.on_train_begin()

    # Weights, steps and losses of two epochs, by hand.
    for epoch, loss in enumerate((0.1, 0.2)):
        model.linear_term.bias.assign(epoch + 5)
        model.optimizer.iterations.assign(epoch + 7)
        for callback in (stopping, kept):
            callback.on_epoch_end(epoch, {"val_log_loss": loss})

    for best, bias, steps in ((False, 6, 8), (True, 5, 7)):
        loaded, epoch = deepfm_tf.load_checkpoint(tmp_path, best)
        assert float(loaded.linear_term.bias) == bias
        assert int(loaded.optimizer.iterations) == steps


def test_a_layer_that_has_adapted_to_data_comes_back(tmp_path):
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(np.array([[2.0], [6.0]]))
    model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    kept = Checkpoints(tmp_path)
    kept.set_model(model)
    kept.on_train_begin()

    kept.on_epoch_end(0, {})

    loaded, _ = deepfm_tf.load_checkpoint(tmp_path)
    # Mean 4, standard deviation 2.
    assert loaded.layers[0](np.array([[8.0]])).numpy() == pytest.approx(2.0)


def begin_with_validation(folder, strategy=None):
    """A model, what evaluates it and what keeps it."""
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    validation = ValidationMetrics([])
    kept = Checkpoints(folder, validation=validation)
    kept.set_model(model)
    kept.on_train_begin()
    return model, validation, kept


def test_an_epoch_is_written_while_it_is_evaluated(tmp_path, monkeypatch):
    model, validation, kept = begin_with_validation(tmp_path)
    begun, writers = threading.Event(), []
    write = checkpoints.write_values

    def note(*arguments):
        writers.append(threading.current_thread())
        write(*arguments)
        begun.set()

    monkeypatch.setattr(checkpoints, "write_values", note)

    with validation.meanwhile(4):
        # Nothing would set it if the file were written afterwards.
        assert begun.wait(60)

    # It is whole, but does not count before all of the epoch is.
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0005.npz"]
    assert not any(thread.is_alive() for thread in writers)
    kept.on_epoch_end(4, {})
    assert len(writers) == 1
    assert read_state(tmp_path)["checkpoint"] == "epoch-0005.npz"
    loaded, _ = deepfm_tf.load_checkpoint(tmp_path)
    np.testing.assert_array_equal(
        loaded.layers[0].kernel, model.layers[0].kernel
    )


def test_what_changes_after_the_evaluation_is_written_again(tmp_path):
    model, validation, kept = begin_with_validation(tmp_path)
    with validation.meanwhile(0):
        pass
    # As the plateau does, which stands between the two.
    model.optimizer.learning_rate.assign(0.25)

    kept.on_epoch_end(0, {})

    loaded, _ = deepfm_tf.load_checkpoint(tmp_path)
    assert float(loaded.optimizer.learning_rate) == 0.25


def test_an_evaluation_that_fails_leaves_nothing_half_written(tmp_path):
    _, validation, kept = begin_with_validation(tmp_path)
    num_threads = threading.active_count()

    for error in (KeyboardInterrupt, deepfm_tf.UserError):
        with pytest.raises(error), validation.meanwhile(0):
            raise error("of the evaluation")

    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == num_threads


def test_a_disk_that_is_full_is_told_when_the_evaluation_ends(
    tmp_path, monkeypatch
):
    _, validation, kept = begin_with_validation(tmp_path)

    def fill(path, *_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_values", fill)

    with pytest.raises(OSError, match="No space left"):
        with validation.meanwhile(0):
            pass
    assert list(tmp_path.iterdir()) == []


def test_several_replicas_write_when_they_have_evaluated(tmp_path):
    _, validation, kept = begin_with_validation(
        tmp_path, deepfm_tf.create_strategy(2)
    )

    with validation.meanwhile(0):
        pass
    assert list(tmp_path.iterdir()) == []
    kept.on_epoch_end(0, {})

    assert (tmp_path / "epoch-0001.npz").is_file()


def test_training_callbacks_write_while_they_evaluate(tmp_path):
    validation, *_, kept = deepfm_tf.training_callbacks([], tmp_path)
    kept.set_model(begin_with_validation(tmp_path / "other")[0])
    kept.on_train_begin()

    with validation.meanwhile(0):
        pass

    assert (tmp_path / "epoch-0001.npz").is_file()
