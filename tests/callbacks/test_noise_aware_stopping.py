"""Which epoch is kept where validation can hardly tell."""

import types

import keras
import numpy as np
import pytest
import sklearn.metrics

import deepfm_tf
from deepfm_tf.callbacks import Checkpoints, NoiseAwareStopping

LABEL = np.array([0.0, 0.0, 0.0, 1.0])
BEST = np.array([0.2, 0.2, 0.2, 0.6])
# The mean loss is .031 higher, its standard error .061; of the second, which
# misses the same way in each row, .118 and .005.
WITHIN = np.array([0.25, 0.15, 0.2, 0.5])
BEYOND = np.array([0.28, 0.29, 0.28, 0.53])


def begin(callbacks):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    return model


def run_epoch(model, callbacks, epoch, probability, weight=None, label=LABEL):
    """An epoch that leaves its number as the bias, and such predictions."""
    model.layers[-1].bias.assign([epoch])
    callbacks[0].validation.rows = label, probability, weight
    loss = sklearn.metrics.log_loss(label, probability, sample_weight=weight)
    for callback in callbacks:
        callback.on_epoch_end(epoch, {"val_log_loss": loss})


def stopping():
    return NoiseAwareStopping(
        types.SimpleNamespace(), monitor="val_log_loss", mode="min", patience=3
    )


def kept(epochs, weight=None):
    """The bias that training ends with."""
    callbacks = [stopping()]
    model = begin(callbacks)
    for epoch, probability in enumerate(epochs):
        run_epoch(model, callbacks, epoch, probability, weight)
    callbacks[0].on_train_end()
    assert callbacks[0].best_epoch == model.layers[-1].bias[0]
    return float(model.layers[-1].bias[0])


def test_what_the_rule_is_tried_on_is_within_and_beyond_one_standard_error():
    def losses(probability):
        return -np.log(np.where(LABEL > 0, probability, 1 - probability))

    for probability, is_within in ((WITHIN, True), (BEYOND, False)):
        more = losses(probability) - losses(BEST)
        error = more.std(ddof=1) / np.sqrt(len(more))
        assert more.mean() > 0
        assert (more.mean() <= error) == is_within


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([BEYOND, BEST, WITHIN], 2),
        ([BEYOND, BEST, BEYOND], 1),
        ([BEYOND, BEST, WITHIN, BEYOND], 2),
        ([WITHIN, WITHIN, BEST], 2),
    ],
)
def test_the_latest_epoch_within_one_standard_error_is_kept(epochs, expected):
    assert kept(epochs) == expected


def test_rows_without_weight_are_no_evidence():
    # Worse in the first two rows, better in the third.
    probability = np.array([0.25, 0.23, 0.15, 0.6])

    assert kept([BEST, probability]) == 1
    assert kept([BEST, probability], np.array([1.0, 1.0, 0.0, 0.0])) == 0


def test_patience_counts_from_the_best_epoch():
    callbacks = [stopping()]
    model = begin(callbacks)

    for epoch, probability in enumerate([BEST, WITHIN, WITHIN]):
        run_epoch(model, callbacks, epoch, probability)
        assert not model.stop_training
    run_epoch(model, callbacks, 3, WITHIN)

    assert model.stop_training


def test_validation_data_in_another_order_are_refused():
    callbacks = [stopping()]
    model = begin(callbacks)
    run_epoch(model, callbacks, 0, BEST)

    with pytest.raises(deepfm_tf.UserError, match="must keep their order"):
        run_epoch(model, callbacks, 1, BEST[::-1], label=LABEL[::-1])


def test_a_resumed_run_compares_with_the_best_epoch_before(tmp_path):
    def callbacks():
        first = stopping()
        return [first, Checkpoints(tmp_path, first)]

    before = callbacks()
    model = begin(before)
    for epoch, probability in enumerate([BEST, WITHIN]):
        run_epoch(model, before, epoch, probability)
    model, epoch = deepfm_tf.load_checkpoint(tmp_path)
    after = callbacks()
    for callback in after:
        callback.set_model(model)
        callback.on_train_begin()

    run_epoch(model, after, epoch, BEYOND)

    # Of the epochs on disk: the last, and the one that is kept.
    assert sorted(p.name for p in tmp_path.glob("epoch-*")) == [
        *("epoch-0002.npz", "epoch-0003-best.npy", "epoch-0003.npz")
    ]
    after[0].on_train_end()
    assert float(model.layers[-1].bias[0]) == 1


def test_training_callbacks_keep_the_latest_where_they_are_told_to():
    _, plain = deepfm_tf.training_callbacks([])
    validation, aware = deepfm_tf.training_callbacks(
        [], patience=7, keep_latest=True
    )

    assert type(plain) is keras.callbacks.EarlyStopping
    assert type(aware) is NoiseAwareStopping
    assert aware.validation is validation
    assert (aware.patience, aware.mode) == (7, "min")
