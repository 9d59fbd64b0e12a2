"""Exact AUC and log loss against scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.metrics import auc, log_loss


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_metrics_agree_with_scikit_learn_ties_included(decimals):
    random = np.random.default_rng(decimals)
    label = random.integers(0, 2, 5000)
    p = random.uniform(0.01, 0.99, 5000).round(decimals).clip(0.01, 0.99)

    assert abs(auc(label, p) - sklearn.metrics.roc_auc_score(label, p)) < 1e-12
    assert abs(log_loss(label, p) - sklearn.metrics.log_loss(label, p)) < 1e-12


def test_one_class_has_no_auc():
    assert math.isnan(auc(np.ones(3), np.array([0.1, 0.2, 0.3])))


def test_certain_and_wrong_costs_a_finite_loss():
    assert log_loss(np.ones(1), np.zeros(1)) == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize(
    ("label", "p", "message"),
    [
        ([1], [0.5, 0.5], "must have one length"),
        ([], [], "at least 1"),
        ([2], [0.5], "must hold 0 and 1 only"),
        ([1], [math.nan], "The model has diverged"),
    ],
)
def test_wrong_arguments_are_refused(label, p, message):
    with pytest.raises(ValueError, match=message):
        auc(np.array(label), np.array(p))
