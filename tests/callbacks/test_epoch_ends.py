"""An epoch has ended when the next begins, or the training ends."""

from deepfm_tf.callbacks import EpochEnds


def test_each_epoch_ends_once_when_all_of_it_is_over():
    told = []
    callback = EpochEnds(lambda: told.append("end"))

    for _ in range(2):  # a model may be fitted again
        callback.on_train_begin()
        for epoch in (3, 4):
            callback.on_epoch_begin(epoch)
            told.append(epoch)
            callback.on_epoch_end(epoch)
        callback.on_train_end()

    assert told == [3, "end", 4, "end"] * 2


def test_epochs_in_parts_end_with_the_last_of_these():
    told = []
    callback = EpochEnds(lambda: told.append("end"), num_parts=2)

    callback.on_train_begin()
    for part in range(5):  # stopped early, in the third epoch
        callback.on_epoch_begin(part)
        told.append(part)
    callback.on_train_end()

    assert told == [0, 1, "end", 2, 3, "end", 4, "end"]


def test_a_training_of_no_epoch_has_no_end_of_one():
    told = []
    callback = EpochEnds(lambda: told.append("end"))

    callback.on_train_begin()
    callback.on_train_end()

    assert told == []
