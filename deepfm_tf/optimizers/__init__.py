"""Keras optimizers whose cost does not grow with the embedding tables."""

from deepfm_tf.optimizers.composite_optimizer import CompositeOptimizer
from deepfm_tf.optimizers.keras_rules import (
    SGD,
    Adagrad,
    Adam,
    Ftrl,
    RMSprop,
)
from deepfm_tf.optimizers.lazy_adam import LazyAdam
from deepfm_tf.optimizers.lazy_ftrl import LazyFTRL
from deepfm_tf.optimizers.lazy_optimizer import LazyOptimizer
from deepfm_tf.optimizers.merged_gradients import MergedGradients
from deepfm_tf.optimizers.rowwise_adagrad import RowwiseAdagrad

__all__ = [
    "Adagrad",
    "Adam",
    "CompositeOptimizer",
    "Ftrl",
    "LazyAdam",
    "LazyFTRL",
    "LazyOptimizer",
    "MergedGradients",
    "RMSprop",
    "RowwiseAdagrad",
    "SGD",
]
