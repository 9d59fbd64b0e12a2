"""Metrics of probabilities against labels, exact, in numpy."""

from deepfm_tf.metrics.bootstrap import bootstrap_intervals
from deepfm_tf.metrics.comparison import Comparison, compare_models
from deepfm_tf.metrics.grouping import GroupedAUC, grouped_auc
from deepfm_tf.metrics.likelihood import log_loss, normalized_entropy
from deepfm_tf.metrics.ranking import auc
from deepfm_tf.metrics.reliability import (
    ReliabilityCurve,
    calibration_ratio,
    expected_calibration_error,
    reliability_curve,
)
from deepfm_tf.metrics.rows import NotANumberError
from deepfm_tf.metrics.slices import NamedIds, slice_metrics
from deepfm_tf.metrics.streaming import StreamingMetrics
from deepfm_tf.metrics.summary import binary_metrics

__all__ = [
    "Comparison",
    "GroupedAUC",
    "NamedIds",
    "NotANumberError",
    "ReliabilityCurve",
    "StreamingMetrics",
    "auc",
    "binary_metrics",
    "bootstrap_intervals",
    "calibration_ratio",
    "compare_models",
    "expected_calibration_error",
    "grouped_auc",
    "log_loss",
    "normalized_entropy",
    "reliability_curve",
    "slice_metrics",
]
