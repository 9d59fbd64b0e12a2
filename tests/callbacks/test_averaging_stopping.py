"""Which weights are kept where validation can hardly tell."""

import types

import keras
import numpy as np
import pytest
import sklearn.metrics

import deepfm_tf
from deepfm_tf.callbacks import AveragingStopping, Checkpoints

LABEL = np.array([0.0, 0.0, 0.0, 1.0])
BEST = np.array([0.2, 0.2, 0.2, 0.6])
# The mean loss is .047 higher, its standard error .056; of the second, which
# misses alike in each row, .113 and .005.
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
    return AveragingStopping(
        types.SimpleNamespace(), monitor="val_log_loss", mode="min", patience=3
    )


def kept(epochs, weight=None):
    """The bias that training ends with."""
    callbacks = [stopping()]
    model = begin(callbacks)
    for epoch, probability in enumerate(epochs):
        run_epoch(model, callbacks, epoch, probability, weight)
    callbacks[0].on_train_end()
    return float(model.layers[-1].bias[0])


def test_what_the_rule_is_tried_on_is_within_and_beyond_two_errors():
    def losses(probability):
        return -np.log(np.where(LABEL > 0, probability, 1 - probability))

    for probability, is_within in ((WITHIN, True), (BEYOND, False)):
        more = losses(probability) - losses(BEST)
        error = more.std(ddof=1) / np.sqrt(len(more))
        assert more.mean() > 0
        assert (more.mean() <= 2 * error) == is_within


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([BEYOND, BEST, WITHIN, WITHIN], (1 + 2 + 3) / 3),
        ([BEYOND, BEST, BEYOND], 1),
        ([BEYOND, BEST, BEYOND, WITHIN], (1 + 3) / 2),
        ([WITHIN, WITHIN, BEST], 2),
    ],
)
def test_the_best_and_the_later_as_good_are_averaged(epochs, expected):
    assert kept(epochs) == pytest.approx(expected)


def test_rows_without_weight_are_no_evidence():
    # Worse in the first two rows, better in the third.
    probability = np.array([0.25, 0.23, 0.15, 0.6])

    assert kept([BEST, probability]) == 0.5
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


def test_a_resumed_run_goes_on_with_the_mean(tmp_path):
    def callbacks():
        first = stopping()
        return [first, Checkpoints(tmp_path, first)]

    before = callbacks()
    model = begin(before)
    for epoch, probability in enumerate([BEST, WITHIN]):
        run_epoch(model, before, epoch, probability)
    model, epoch = deepfm_tf.load_checkpoint(tmp_path)
    assert float(model.layers[-1].bias[0]) == 1
    after = callbacks()
    for callback in after:
        callback.set_model(model)
        callback.on_train_begin()

    for epoch, probability in ((2, BEYOND), (3, WITHIN)):
        run_epoch(model, after, epoch, probability)

    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == [
        *("epoch-0004-best.npy", "epoch-0004-mean.npz", "epoch-0004.npz")
    ]
    after[0].on_train_end()
    mean = (0 + 1 + 3) / 3
    assert float(model.layers[-1].bias[0]) == pytest.approx(mean)
    # What another day goes on with.
    model, _ = deepfm_tf.load_checkpoint(tmp_path, best=True)
    assert float(model.layers[-1].bias[0]) == pytest.approx(mean)


def test_a_run_resumed_from_one_without_a_mean_keeps_the_best_alone(tmp_path):
    plain = keras.callbacks.EarlyStopping(
        "val_log_loss", patience=3, mode="min", restore_best_weights=True
    )
    plain.validation = types.SimpleNamespace()
    before = [plain, Checkpoints(tmp_path, plain)]
    model = begin(before)
    for epoch, probability in enumerate([BEST, WITHIN]):
        run_epoch(model, before, epoch, probability)

    # Twice: nothing is known of the best epoch's rows the second time either.
    for epoch in (2, 3):
        model, _ = deepfm_tf.load_checkpoint(tmp_path)
        averaging = stopping()
        after = [averaging, Checkpoints(tmp_path, averaging)]
        for callback in after:
            callback.set_model(model)
            callback.on_train_begin()
        run_epoch(model, after, epoch, WITHIN)

    averaging.on_train_end()
    assert float(model.layers[-1].bias[0]) == 0


def test_training_callbacks_average_where_they_are_told_to():
    _, plain = deepfm_tf.training_callbacks([])
    validation, aware = deepfm_tf.training_callbacks(
        [], patience=7, average_weights=True
    )

    assert type(plain) is keras.callbacks.EarlyStopping
    assert type(aware) is AveragingStopping
    assert aware.validation is validation
    assert (aware.patience, aware.mode) == (7, "min")
