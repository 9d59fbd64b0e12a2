"""Keras's own rules, on the gradient that a whole batch gives."""

import keras

from deepfm_tf.optimizers.merged_gradients import MergedGradients


@keras.saving.register_keras_serializable("deepfm_tf")
class Adam(MergedGradients, keras.optimizers.Adam):
    """Keras's Adam on merged gradients; touches whole tables at every step."""


@keras.saving.register_keras_serializable("deepfm_tf")
class Adagrad(MergedGradients, keras.optimizers.Adagrad):
    """Keras's Adagrad on merged gradients."""


@keras.saving.register_keras_serializable("deepfm_tf")
class Ftrl(MergedGradients, keras.optimizers.Ftrl):
    """Keras's FTRL on merged gradients; touches whole tables."""


@keras.saving.register_keras_serializable("deepfm_tf")
class RMSprop(MergedGradients, keras.optimizers.RMSprop):
    """Keras's RMSprop on merged gradients; touches whole tables."""


@keras.saving.register_keras_serializable("deepfm_tf")
class SGD(MergedGradients, keras.optimizers.SGD):
    """Keras's SGD on merged gradients."""
