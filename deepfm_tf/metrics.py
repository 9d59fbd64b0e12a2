"""Exact AUC and log loss over a whole evaluation set."""

from __future__ import annotations

import numpy as np

# Probabilities are kept this far from 0 and 1, as Keras's loss does.
_EPSILON = 1e-7


def auc(label: np.ndarray, probability: np.ndarray) -> float:
    """Area under the ROC curve, as the exact rank statistic.

    `AUC = (#{(i, j): p_i > p_j} + #{p_i = p_j} / 2) / (P N)` over all pairs
    of a positive i and a negative j.

    Args:
        label: (rows,) or (rows, 1) of 0 and 1.
        probability: as many probabilities (any increasing function of them).

    Returns:
        float in [0, 1]; NaN if there is only one class.

    Example:

    >>> auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875

    Reference:
        [Hanley and McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747)
    """
    label, probability = _check(label, probability)
    _, group, counts = np.unique(
        probability, return_inverse=True, return_counts=True
    )
    positives = np.bincount(group, weights=label, minlength=len(counts))
    positives = positives.astype(np.int64)
    negatives = counts - positives
    below = np.cumsum(negatives) - negatives
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        return float("nan")
    # Twice the wins, so that a tie counts as a whole number.
    return int((positives * (2 * below + negatives)).sum()) / (2 * pairs)


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats.

    `-mean(y ln p + (1 - y) ln(1 - p))`

    Args:
        label: (rows,) or (rows, 1) of 0 and 1.
        probability: as many probabilities; kept in [1e-7, 1 - 1e-7].

    Returns:
        float, at least 0.

    Example:

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    label, probability = _check(label, probability)
    p = np.clip(probability, _EPSILON, 1 - _EPSILON)
    return float(-np.mean(np.where(label > 0, np.log(p), np.log1p(-p))))


def _check(
    label: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    label = np.asarray(label, dtype=np.float64).reshape(-1)
    probability = np.asarray(probability, dtype=np.float64).reshape(-1)
    if len(label) != len(probability) or not len(label):
        raise ValueError(
            "`label` and `probability` must have one length, at least 1. "
            f"Received: {len(label)} and {len(probability)}."
        )
    if not np.isin(label, (0.0, 1.0)).all():
        wrong = label[~np.isin(label, (0.0, 1.0))][0]
        raise ValueError(f"`label` must hold 0 and 1 only. Received: {wrong}.")
    if np.isnan(probability).any():
        raise ValueError(
            f"`probability` is NaN in {int(np.isnan(probability).sum())} of "
            f"{len(probability)} rows. The model has diverged: train with a "
            "smaller learning rate."
        )
    return label, probability
