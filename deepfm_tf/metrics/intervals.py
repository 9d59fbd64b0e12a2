"""Confidence intervals at the cost of one pass, where there are many rows."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.bootstrap import bootstrap_intervals
from deepfm_tf.metrics.grouping import aucs_of_groups
from deepfm_tf.metrics.influence import (
    MANY,
    are_many,
    auc_influence,
    ratio_influence,
    variance_of_sum,
)
from deepfm_tf.metrics.likelihood import entropy, row_losses
from deepfm_tf.metrics.rows import check_confidence, check_groups, check_rows


def metric_intervals(
    label: Array,
    probability: Array,
    weight: Array | None = None,
    *,
    groups: Array | None = None,
    confidence: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """How far chance alone moves each metric.

    With fewer than 2,000 rows of a class, or groups that hold both classes,
    these are `bootstrap_intervals`. With more, they come from the variance of
    the rows' influence (the delta method; DeLong's for the AUC): the bootstrap
    would say the same, and takes a hundred times as long.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.
        groups: (rows,). Groups of rows that are alike (users, sessions).
        confidence: float. Share of such intervals that hold the true value.

    Returns:
        What `bootstrap_intervals` returns.

    Example:

    >>> label = np.tile([0, 0, 1], 10_000)
    >>> probability = np.tile([0.1, 0.3, 0.5], 10_000)
    >>> low, high = metric_intervals(label, probability)["log_loss"]
    >>> round(low, 3), round(high, 3)
    (0.382, 0.388)

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595);
        [van der Vaart, 1998](https://doi.org/10.1017/CBO9780511802256),
        chapters 3 (delta method) and 20 (influence functions)
    """
    label, probability, weight = check_rows(label, probability, weight)
    check_confidence(confidence)
    many = True
    if groups is not None:
        groups = check_groups(groups, len(label))
        aucs, impressions = aucs_of_groups(label, probability, groups, weight)
        counts = ~np.isnan(aucs)
        many = np.count_nonzero(counts) >= MANY
    if not many or not are_many(label, weight, groups):
        return bootstrap_intervals(
            label, probability, weight, groups=groups, confidence=confidence
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    intervals = {}
    for name, value, parts in _influences(label, probability, weight):
        strata = label if name == "auc" else None
        variance = variance_of_sum(parts, strata, weight, groups)
        intervals[name] = _around(value, z * math.sqrt(variance))
    if groups is not None:
        value, parts = ratio_influence(aucs[counts], impressions[counts])
        variance = variance_of_sum(parts, None, None, None)
        intervals["grouped_auc"] = _around(value, z * math.sqrt(variance))
    return intervals


def _influences(
    label: Array, probability: Array, weight: Array | None
) -> list[tuple[str, float, Array]]:
    """Each metric, its value, and the rows' parts in its deviation."""
    weight = np.ones(len(label)) if weight is None else weight
    loss, loss_parts = ratio_influence(row_losses(label, probability), weight)
    mean, mean_parts = ratio_influence(label, weight)
    base, slope = float(entropy(mean)), math.log((1 - mean) / mean)
    clicks = float(weight @ label)
    ratio = float(weight @ probability) / clicks
    return [
        ("auc", *auc_influence(label, probability, weight)),
        ("log_loss", loss, loss_parts),
        (
            "normalized_entropy",
            loss / base,
            loss_parts / base - loss * slope / base**2 * mean_parts,
        ),
        (
            "calibration_ratio",
            ratio,
            weight * (probability - ratio * label) / clicks,
        ),
        ("mean_label", mean, mean_parts),
    ]


def _around(value: float, margin: float) -> tuple[float, float]:
    return value - margin, value + margin
