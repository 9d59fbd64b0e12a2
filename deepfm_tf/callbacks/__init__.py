"""Callbacks for Keras `fit`: exact validation, checkpoints, curves."""

from deepfm_tf.callbacks.checkpoints import (
    Checkpoints,
    drop_checkpoints,
    load_checkpoint,
    read_state,
)
from deepfm_tf.callbacks.epoch_ends import EpochEnds
from deepfm_tf.callbacks.learning_curve import LearningCurve
from deepfm_tf.callbacks.noise_aware_stopping import NoiseAwareStopping
from deepfm_tf.callbacks.training_callbacks import (
    MONITORS,
    training_callbacks,
)
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics

__all__ = [
    "MONITORS",
    "Checkpoints",
    "EpochEnds",
    "LearningCurve",
    "NoiseAwareStopping",
    "ValidationMetrics",
    "drop_checkpoints",
    "load_checkpoint",
    "read_state",
    "training_callbacks",
]
