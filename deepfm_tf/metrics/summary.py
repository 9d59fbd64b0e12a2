"""All metrics of one model on one set of rows."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.grouping import grouped_auc
from deepfm_tf.metrics.intervals import metric_intervals
from deepfm_tf.metrics.likelihood import log_loss, normalized_entropy
from deepfm_tf.metrics.ranking import auc
from deepfm_tf.metrics.reliability import (
    calibration_ratio,
    expected_calibration_error,
)
from deepfm_tf.metrics.results import Metrics
from deepfm_tf.metrics.rows import num_without_group


def binary_metrics(
    label: Array,
    probability: Array,
    weight: Array | None = None,
    *,
    groups: Array | None = None,
    confidence: float | None = None,
) -> Metrics:
    """What `evaluate` returns, of labels and probabilities from anywhere.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.
        groups: (rows,) of ids or text. Adds `grouped_auc` (GAUC), and
            `grouped_share`: the impressions in groups that have both classes;
            and, if some rows have no group (None, NaN, empty text),
            `grouped_left_out`, their number.
        confidence: float, such as 0.95. Adds `intervals`: what
            `metric_intervals` returns. Defaults to none: of few rows they
            take as long as a thousand evaluations.

    Returns:
        The Metrics. One that needs both classes is NaN where there is only
        one.

    Example:

    >>> metrics = binary_metrics(np.array([0, 1]), np.array([0.5, 0.5]))
    >>> for name, value in metrics.items():
    ...     print(name, round(value, 4))
    auc 0.5
    log_loss 0.6931
    normalized_entropy 1.0
    calibration_ratio 1.0
    expected_calibration_error 0.0
    mean_label 0.5
    rows 2
    """
    metrics: Metrics = {
        "auc": auc(label, probability, weight),
        "log_loss": log_loss(label, probability, weight),
        "normalized_entropy": normalized_entropy(label, probability, weight),
        "calibration_ratio": calibration_ratio(label, probability, weight),
        "expected_calibration_error": expected_calibration_error(
            label, probability, weight
        ),
        "mean_label": float(
            np.average(np.asarray(label, dtype=np.float64), weights=weight)
        ),
        "rows": len(label),
    }
    if groups is not None:
        grouped = grouped_auc(label, probability, groups, weight)
        metrics["grouped_auc"] = grouped.auc
        metrics["grouped_share"] = grouped.share
        if left_out := num_without_group(groups):
            metrics["grouped_left_out"] = left_out
    if confidence is not None:
        metrics["intervals"] = metric_intervals(
            label, probability, weight, groups=groups, confidence=confidence
        )
    return metrics
