"""Exact AUC against scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.metrics import auc
from tests.metrics.rows import make_rows


@pytest.mark.parametrize("decimals", [1, 2, 9])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_agrees_with_scikit_learn_ties_included(decimals, weighted):
    label, p = make_rows(5000, seed=decimals, decimals=decimals)
    weight = None
    if weighted:
        weight = np.random.default_rng(1).exponential(size=5000)
        weight[::7] = 0

    expected = sklearn.metrics.roc_auc_score(label, p, sample_weight=weight)

    assert abs(auc(label, p, weight) - expected) < 1e-12


def test_auc_of_many_rows_at_a_low_rate_is_that_of_scikit_learn():
    label, p = make_rows(200_000, rate=0.001)
    p = p.astype(np.float32)

    expected = sklearn.metrics.roc_auc_score(label, p)

    assert abs(auc(label, p) - expected) < 1e-12


def test_one_class_has_no_auc():
    p = np.array([0.1, 0.2, 0.3])

    assert math.isnan(auc(np.ones(3), p))
    assert math.isnan(auc(np.array([0, 1, 1]), p, np.array([0, 1, 1])))


def test_the_order_of_the_rows_does_not_matter():
    label, p = make_rows(1000, decimals=2)
    order = np.random.default_rng(2).permutation(1000)

    assert auc(label[order], p[order]) == auc(label, p)
