"""Errors of users, as they come out of TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.errors import (
    MissingFileError,
    UserError,
    wrapped_user_error,
)


@pytest.mark.parametrize("kind", [UserError, MissingFileError])
def test_the_sentence_of_a_data_set_is_found_in_tensorflows_error(kind):
    sentence = "x.bin is damaged: 2 rows.\nPrepare the data again."

    def fail():
        raise kind(sentence)

    dataset = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(fail, [], tf.int64)
    )

    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(dataset))

    found = wrapped_user_error(caught.value)
    assert type(found) is UserError and str(found) == sentence


def test_a_fault_of_the_package_is_not_taken_for_a_users():
    def fail():
        return np.zeros(1)["x"]

    dataset = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(fail, [], tf.int64)
    )

    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(dataset))

    assert wrapped_user_error(caught.value) is None
    assert wrapped_user_error(ValueError("UserError: no")) is None
