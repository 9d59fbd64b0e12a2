"""What is kept of a training, epoch by epoch."""

import keras

import deepfm_tf
from deepfm_tf.callbacks import Checkpoints
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
