"""LazyAdam whose moments decay while a row rests: tried, not kept."""

import keras
import tensorflow as tf

from deepfm_tf.optimizers import LazyAdam


@keras.saving.register_keras_serializable("deepfm_tf_benchmarks")
class DecayingAdam(LazyAdam):
    """Adam's moments to the letter: a counter a row says how long it rested.

    Before the step, `m` is multiplied by `beta_1` and `v` by `beta_2` to the
    power of the steps since the row was last touched. The row itself is not
    moved for them, as dense Adam would.
    """

    def state_columns(self, num_columns):
        """The moments, and the step at which the row was last touched."""
        return super().state_columns(num_columns) + 1

    def update_rows(self, gradient, values, state, learning_rate):
        """Decay, then one step of Adam."""
        step = tf.cast(self.iterations + 1, values.dtype)
        m, v, last = tf.split(state, [*2 * [values.shape[1]], 1], axis=1)
        rested = tf.maximum(step - last - 1, 0)
        moments = tf.concat(
            [m * self.beta_1**rested, v * self.beta_2**rested], axis=1
        )
        values, moments = super().update_rows(
            gradient, values, moments, learning_rate
        )
        last = tf.fill(tf.shape(last), step)
        return values, tf.concat([moments, last], axis=1)
