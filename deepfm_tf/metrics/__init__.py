"""Metrics of probabilities against labels, exact, in numpy."""

from deepfm_tf.metrics.bootstrap import bootstrap_intervals
from deepfm_tf.metrics.comparison import Comparison, compare_models
from deepfm_tf.metrics.grouping import GroupedAUC, grouped_auc
from deepfm_tf.metrics.intervals import metric_intervals
from deepfm_tf.metrics.likelihood import log_loss, normalized_entropy
from deepfm_tf.metrics.over_seeds import (
    best_value,
    compare_over_seeds,
    is_better,
    margin_of_one_more,
    mean_and_std,
    rank_models,
)
from deepfm_tf.metrics.ranking import auc
from deepfm_tf.metrics.reliability import (
    ReliabilityCurve,
    calibration_ratio,
    expected_calibration_error,
    reliability_curve,
)
from deepfm_tf.metrics.results import (
    METRIC_TITLES,
    Metrics,
    SeedComparison,
    SliceMetrics,
    Spread,
    StreamMetrics,
)
from deepfm_tf.metrics.rows import NotANumberError
from deepfm_tf.metrics.slices import NamedIds, slice_metrics
from deepfm_tf.metrics.streaming import StreamingMetrics
from deepfm_tf.metrics.summary import binary_metrics

__all__ = [
    "METRIC_TITLES",
    "Comparison",
    "GroupedAUC",
    "Metrics",
    "NamedIds",
    "NotANumberError",
    "ReliabilityCurve",
    "SeedComparison",
    "SliceMetrics",
    "Spread",
    "StreamMetrics",
    "StreamingMetrics",
    "auc",
    "best_value",
    "binary_metrics",
    "bootstrap_intervals",
    "calibration_ratio",
    "compare_models",
    "compare_over_seeds",
    "expected_calibration_error",
    "grouped_auc",
    "is_better",
    "log_loss",
    "margin_of_one_more",
    "mean_and_std",
    "metric_intervals",
    "normalized_entropy",
    "rank_models",
    "reliability_curve",
    "slice_metrics",
]
