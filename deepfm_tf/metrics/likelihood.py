"""Log loss, and log loss in units of knowing nothing."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.rows import check_probability, check_rows

# Probabilities are kept this far from 0 and 1, as Keras's loss does.
EPSILON = 1e-7


def log_loss(
    label: Array,
    probability: Array,
    weight: Array | None = None,
) -> float:
    """Mean negative log-likelihood, in nats.

    `-mean(y ln p + (1 - y) ln(1 - p))`, a mean weighted by `weight`.

    Args:
        label: (rows,) or (rows, 1) of 0 and 1.
        probability: as many probabilities; kept in [1e-7, 1 - 1e-7].
        weight: as many weights, at least 0. Defaults to 1 each.

    Returns:
        float, at least 0.

    Example:

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    label, probability, weight = check_rows(label, probability, weight)
    return float(np.average(row_losses(label, probability), weights=weight))


def row_losses(label: Array, probability: Array) -> Array:
    """The log loss of each row."""
    check_probability(probability)
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    losses: Array = -np.log(np.where(label > 0, p, 1 - p))
    return losses


def normalized_entropy(
    label: Array,
    probability: Array,
    weight: Array | None = None,
) -> float:
    """Log loss divided by that of always predicting the mean label.

    `NE = log loss / -(q ln q + (1 - q) ln(1 - q))`, q the mean label of these
    rows. Below 1 the model is better than a constant; unlike the log loss it
    can be compared between data of different click-through rates.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        weight: (rows,), at least 0. Defaults to 1 each.

    Returns:
        float, at least 0; NaN if there is only one class.

    Example:

    >>> label = np.array([1, 0, 0, 0])
    >>> normalized_entropy(label, np.array([0.25, 0.25, 0.25, 0.25]))
    1.0

    Reference:
        [He et al., 2014](https://doi.org/10.1145/2648584.2648589), equation 3
    """
    label, probability, weight = check_rows(label, probability, weight)
    loss = np.average(row_losses(label, probability), weights=weight)
    return float(loss / entropy(float(np.average(label, weights=weight))))


def entropy(mean_label: Array | float) -> Array:
    """Log loss of a constant that is right on average; NaN of one class."""
    q = np.asarray(mean_label, dtype=np.float64)
    inside = (q > 0) & (q < 1)
    q = np.where(inside, q, 0.5)
    return np.where(inside, -q * np.log(q) - (1 - q) * np.log1p(-q), np.nan)
