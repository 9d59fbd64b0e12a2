"""Whether probabilities are as high as clicks are frequent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.metrics.ranking import Ranking
from deepfm_tf.metrics.rows import check_probability, check_rows

NUM_BINS = 20


class ReliabilityCurve(NamedTuple):
    """A reliability diagram, by ascending probability.

    Attributes:
        probability: (bins,). Mean probability of each bin.
        label: (bins,). Mean label of each bin: the diagonal is perfect.
        weight: (bins,). Rows in each bin, or their weight.
    """

    probability: Array
    label: Array
    weight: Array

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance from the diagonal, weighted by the bins' weight."""
        distance = np.abs(self.probability - self.label)
        return float(np.average(distance, weights=self.weight))


def calibration_ratio(
    label: Array,
    probability: Array,
    weight: Array | None = None,
) -> float:
    """Mean probability divided by mean label: 1.1 promises 10 % too much.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.

    Returns:
        float; NaN if no label is 1.

    Example:

    >>> calibration_ratio(np.array([1, 0]), np.array([0.5, 0.1]))
    0.6

    Reference:
        [He et al., 2014](https://doi.org/10.1145/2648584.2648589), section 3
    """
    label, probability, weight = check_rows(label, probability, weight)
    check_probability(probability)
    mean = np.average(label, weights=weight)
    if not mean:
        return float("nan")
    return float(np.average(probability, weights=weight) / mean)


def reliability_curve(
    label: Array,
    probability: Array,
    weight: Array | None = None,
    num_bins: int = NUM_BINS,
) -> ReliabilityCurve:
    """Mean label against mean probability, in bins of equal weight.

    Bins of equal width would put nearly all rows of a low click-through rate
    into the first. Equal probabilities stay in one bin, so there may be fewer
    bins than asked for; none is empty.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.
        num_bins: int. At most this many bins. Defaults to 20.

    Example:

    >>> label = np.array([0, 1, 1, 1])
    >>> probability = np.array([0.25, 0.25, 0.5, 1.0])
    >>> curve = reliability_curve(label, probability, num_bins=2)
    >>> curve.probability.tolist(), curve.label.tolist()
    ([0.25, 0.75], [0.5, 1.0])
    """
    label, probability, weight = check_rows(label, probability, weight)
    check_probability(probability)
    ranking = Ranking(probability)
    starts = np.append(0, ranking.ends[:-1] + 1)
    example_weight = np.ones(len(label)) if weight is None else weight
    mass, labels, probabilities = (
        np.add.reduceat(values[ranking.order], starts)
        for values in (
            example_weight,
            example_weight * label,
            example_weight * probability,
        )
    )
    return curve_of_runs(mass, labels, probabilities, num_bins)


def expected_calibration_error(
    label: Array,
    probability: Array,
    weight: Array | None = None,
    num_bins: int = NUM_BINS,
) -> float:
    """Mean distance of the reliability curve from the diagonal (ECE).

    `sum_b(n_b |mean p_b - mean y_b|) / sum_b(n_b)` over the bins of
    `reliability_curve`. Chance alone keeps it above 0, by about
    `0.8 sqrt(q (1 - q) num_bins / rows)` at a mean label q.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.
        num_bins: int. At most this many bins. Defaults to 20.

    Example:

    >>> label = np.array([0, 1, 1, 1])
    >>> probability = np.array([0.25, 0.25, 0.5, 1.0])
    >>> expected_calibration_error(label, probability, num_bins=2)
    0.25

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599), equation 3
    """
    curve = reliability_curve(label, probability, weight, num_bins)
    return curve.expected_calibration_error


def curve_of_runs(
    weight: Array,
    labels: Array,
    probabilities: Array,
    num_bins: int,
) -> ReliabilityCurve:
    """The curve from sums over runs that must not be cut, ascending.

    Args:
        weight: (runs,). Weight of each.
        labels, probabilities: (runs,). Weighted sums in each.
        num_bins: int. At most this many bins.
    """
    bins = equal_bins(weight, num_bins)
    mass, label, probability = (
        np.bincount(bins, weights=values, minlength=num_bins)
        for values in (weight, labels, probabilities)
    )
    used = mass > 0
    return ReliabilityCurve(
        probability[used] / mass[used], label[used] / mass[used], mass[used]
    )


def equal_bins(weight: Array, num_bins: int) -> Array:
    """(runs,): the bin of each run, where the middle of its weight lies.

    Bins are as equal in weight as whole runs allow; some may get no run.
    """
    if num_bins < 1:
        raise UserError(
            "`num_bins` must be a positive integer. Received: "
            f"num_bins={num_bins}."
        )
    upto = np.cumsum(weight)
    middle = (upto - weight / 2) / upto[-1]
    bins: Array = np.minimum((middle * num_bins).astype(np.int64), num_bins - 1)
    return bins
