"""Precision of a model: 16 bits in training, float32 everywhere else."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import keras

from deepfm_tf.keras_internals import all_layers

# Whether a model is being called in training: now, in this thread.
_IS_TRAINING = contextvars.ContextVar("is_training", default=False)


@keras.saving.register_keras_serializable("deepfm_tf")
class TrainingPrecision(keras.DTypePolicy):
    """A dtype policy of 16 bits in training, and of float32 otherwise.

    A layer with this policy computes in 16 bits while a `CTRModel` around it
    is called with `training=True`, and in float32 in all other calls, be they
    of the model or of the layer. Its name and the dtype of its variables are
    those of Keras's policy.

    Nothing is switched in the layer. So threads that trace the replicas of a
    strategy do not disturb each other, and an exception leaves nothing behind.

    Args:
        name: str. Such as `"mixed_bfloat16"` and `"mixed_float16"`.
    """

    @property
    def compute_dtype(self) -> str:
        """What a layer that is called now computes in."""
        if not _IS_TRAINING.get():
            return "float32"
        dtype: str = super().compute_dtype
        return dtype


@contextlib.contextmanager
def in_training(training: bool | None) -> Iterator[None]:
    """The call of a model, by whose `training` its layers go."""
    token = _IS_TRAINING.set(bool(training))
    try:
        yield
    finally:
        _IS_TRAINING.reset(token)


def keep_for_training(model: keras.Model) -> None:
    """Let the layers of a model compute in 16 bits in training only."""
    for layer in all_layers(model):
        policy = layer.dtype_policy
        # Not those that say more than a name, such as quantized ones.
        if type(policy) is not keras.DTypePolicy:
            continue
        if policy.compute_dtype in ("bfloat16", "float16"):
            layer.dtype_policy = TrainingPrecision(policy.name)
