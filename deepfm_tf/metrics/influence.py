"""What each row adds to the deviation of a metric from its true value."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.ranking import Ranking, class_weights

# Of each class, and of groups: sums of as many are as good as normal.
MANY = 2000


def are_many(label: Array, weight: Array | None, groups: Array | None) -> bool:
    """Whether a metric's error is normal, its variance that of the parts."""
    counted = np.ones(len(label), bool) if weight is None else weight > 0
    positives = np.count_nonzero(counted & (label > 0))
    least = min(positives, np.count_nonzero(counted) - positives)
    if groups is not None:
        least = min(least, len(np.unique(groups[counted])))
    return bool(least >= MANY)


def auc_influence(
    label: Array, probability: Array, weight: Array | None
) -> tuple[float, Array]:
    """The AUC, and each row's part in its deviation from the true one.

    A row's part is its placement among the other class (the share of it that
    the row wins against) less the AUC, divided by the weight of its class.
    The parts of a class sum to 0.

    Args:
        label, probability, weight: checked.

    Returns:
        float; and (rows,) in the order of the rows. NaN of one class.
    """
    ranking = Ranking(probability)
    positive, negative = class_weights(label, weight, ranking.order)
    totals = positive.sum(), negative.sum()
    if not all(totals):
        return float("nan"), np.full(len(label), np.nan)
    runs = np.diff(ranking.ends, prepend=-1)
    # (rows,) in order: the share of the other class below, ties by half.
    below_positive, below_negative = (
        np.repeat(ranking.doubled_below(mass) / (2 * total), runs)
        for mass, total in zip((positive, negative), totals, strict=True)
    )
    area = float(positive @ below_negative / totals[0])
    parts = positive / totals[0] * (below_negative - area)
    parts += negative / totals[1] * (1 - below_positive - area)
    influence = np.empty(len(label))
    influence[ranking.order] = parts
    return area, influence


def ratio_influence(values: Array, weight: Array) -> tuple[float, Array]:
    """A weighted mean, and each row's part in its deviation.

    Args:
        values, weight: (rows,).

    Returns:
        float; and (rows,), which sum to 0.
    """
    total = weight.sum()
    mean = float(weight @ values / total)
    return mean, weight * (values - mean) / total


def variance_of_sum(
    parts: Array,
    strata: Array | None,
    weight: Array | None,
    groups: Array | None,
) -> float:
    """Variance of a sum of the rows' parts, which sum to 0.

    Args:
        parts: (rows,).
        strata: (rows,) of 0 and 1, each of which sums to 0 by itself, as
            the classes in DeLong's variance. Optional.
        weight: (rows,). Rows of weight 0 are no evidence. Optional.
        groups: (rows,). Groups of rows, which may hold both strata, are
            taken as a whole. Optional.
    """
    if groups is not None:
        sums = np.bincount(groups, weights=parts)
        count = np.count_nonzero(np.bincount(groups))
        return float(sums @ sums) * count / max(count - 1, 1)
    counted = np.ones(len(parts), bool) if weight is None else weight > 0
    variance = 0.0
    every = np.ones(len(parts), bool)
    members_of = (every,) if strata is None else (strata > 0, strata == 0)
    for members in members_of:
        count = np.count_nonzero(members & counted)
        squares = float(parts[members] @ parts[members])
        variance += squares * count / max(count - 1, 1)
    return variance
