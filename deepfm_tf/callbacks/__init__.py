"""Callbacks for Keras `fit`: exact validation, checkpoints, curves."""

from deepfm_tf.callbacks.checkpoints import Checkpoints, load_checkpoint
from deepfm_tf.callbacks.learning_curve import LearningCurve
from deepfm_tf.callbacks.training_callbacks import (
    MONITORS,
    training_callbacks,
)
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics

__all__ = [
    "MONITORS",
    "Checkpoints",
    "LearningCurve",
    "ValidationMetrics",
    "load_checkpoint",
    "training_callbacks",
]
