"""Callbacks for Keras `fit`: exact validation, checkpoints, curves."""

from deepfm_tf.callbacks.averaging_stopping import AveragingStopping
from deepfm_tf.callbacks.checkpoint_stopping import CheckpointStopping
from deepfm_tf.callbacks.checkpoints import (
    Checkpoints,
    drop_checkpoints,
    load_checkpoint,
    read_state,
)
from deepfm_tf.callbacks.epoch_ends import EpochEnds
from deepfm_tf.callbacks.learning_curve import LearningCurve
from deepfm_tf.callbacks.training_callbacks import (
    MONITORS,
    training_callbacks,
)
from deepfm_tf.callbacks.validation_metrics import ValidationMetrics

__all__ = [
    "MONITORS",
    "CheckpointStopping",
    "Checkpoints",
    "EpochEnds",
    "LearningCurve",
    "AveragingStopping",
    "ValidationMetrics",
    "drop_checkpoints",
    "load_checkpoint",
    "read_state",
    "training_callbacks",
]
