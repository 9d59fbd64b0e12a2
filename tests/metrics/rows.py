"""Made-up labels and probabilities, and metrics by naive double loops."""

import math

import numpy as np


def make_rows(num_rows, seed=0, rate=0.3, spread=1.0, decimals=None):
    """Labels drawn from the probabilities: calibrated rows."""
    random = np.random.default_rng(seed)
    logit = math.log(rate / (1 - rate)) + spread * random.normal(size=num_rows)
    probability = 1 / (1 + np.exp(-logit))
    if decimals is not None:
        probability = probability.round(decimals)
    label = (random.random(num_rows) < probability).astype(int)
    return label, probability


def naive_auc(label, probability, weight):
    """AUC pair by pair; None of one class."""
    won = pairs = 0.0
    for y, p, w in zip(label, probability, weight, strict=True):
        for z, q, v in zip(label, probability, weight, strict=True):
            if y == 1 and z == 0:
                pairs += w * v
                won += w * v * ((p > q) + 0.5 * (p == q))
    return won / pairs if pairs else None
