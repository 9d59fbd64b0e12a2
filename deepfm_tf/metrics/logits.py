"""From probabilities to logits and back, in float64 as the metrics are."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.likelihood import EPSILON

LARGEST_LOGIT = float(np.log((1 - EPSILON) / EPSILON))


def logit(probability: Array) -> Array:
    """`ln p - ln(1 - p)`, of probabilities kept in [1e-7, 1 - 1e-7].

    >>> logit(np.array([0.5, 0.9])).round(4).tolist()
    [0.0, 2.1972]
    """
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    logits: Array = np.log(p) - np.log1p(-p)
    return logits


def sigmoid(logits: Array) -> Array:
    """`1 / (1 + e^-z)`, without overflow.

    >>> sigmoid(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    probability: Array = np.exp(-np.logaddexp(0.0, -logits))
    return probability
