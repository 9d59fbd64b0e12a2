"""Exact AUC, by one sort."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.rows import check_rows


class Ranking:
    """Rows in the order of their probabilities, for many weightings.

    Args:
        probability: (rows,) float64.

    Attributes:
        order: (rows,) int. The rows by ascending probability.
        ends: (values,) int. Where in that order each run of equal
            probabilities has its last row.
    """

    def __init__(self, probability: Array) -> None:
        self.order = np.argsort(probability)
        ranked = probability[self.order]
        self.ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def auc(self, positive: Array, negative: Array) -> float:
        """AUC by cumulative sums.

        Args:
            positive: (rows,) in `order`: the weight of each positive row, 0
                for a negative one. Of whole numbers the result is exact.
            negative: (rows,) likewise.

        Returns:
            float in [0, 1]; NaN if a class has no weight.
        """
        doubled = self.doubled_below(negative)
        upto = _cumulated(positive)[self.ends]
        # Not a dot product: for so little, BLAS's threads wait for each other.
        wins = (np.diff(upto, prepend=upto.dtype.type(0)) * doubled).sum()
        pairs = upto[-1] * negative.sum(dtype=upto.dtype)
        # Whole numbers up to here; and Python's do not overflow.
        return wins.item() / (2 * pairs.item()) if pairs else float("nan")

    def doubled_below(self, weight: Array) -> Array:
        """(values,): twice the weight below each run, its own counted once.

        Doubled, so that a tie of whole numbers is a whole number.
        """
        upto = _cumulated(weight)[self.ends]
        doubled = upto.copy()
        doubled[1:] += upto[:-1]
        return doubled


def auc(
    label: Array,
    probability: Array,
    weight: Array | None = None,
) -> float:
    """Area under the ROC curve, as the exact rank statistic.

    `AUC = (#{(i, j): p_i > p_j} + #{p_i = p_j} / 2) / (P N)` over all pairs
    of a positive i and a negative j; a pair counts `w_i w_j` times.

    Args:
        label: (rows,) or (rows, 1) of 0 and 1.
        probability: as many probabilities (any increasing function of them).
        weight: as many weights, at least 0. Defaults to 1 each.

    Returns:
        float in [0, 1]; NaN if there is only one class.

    Example:

    >>> auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875

    Reference:
        [Hanley and McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747)
    """
    label, probability, weight = check_rows(label, probability, weight)
    ranking = Ranking(probability)
    return ranking.auc(*class_weights(label, weight, ranking.order))


def class_weights(
    label: Array, weight: Array | None, order: Array
) -> tuple[Array, Array]:
    """Weights of the positives and of the negatives, in an order.

    Whole numbers where there are no weights: then sums of them are exact.
    """
    positive = label[order]
    if weight is None:
        # One byte each: the bootstrap goes through them a thousand times.
        positive = positive.astype(np.int8)
        return positive, 1 - positive
    weight = weight[order]
    return weight * positive, weight * (1 - positive)


def _cumulated(weight: Array) -> Array:
    whole = np.issubdtype(weight.dtype, np.integer)
    return np.cumsum(weight, dtype=np.int64 if whole else np.float64)
