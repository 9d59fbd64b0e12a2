"""Log loss and normalized entropy against scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.metrics import log_loss, normalized_entropy
from tests.metrics.rows import make_rows


@pytest.fixture
def rows():
    label, p = make_rows(3000, rate=0.1)
    return label, p, np.random.default_rng(1).exponential(size=3000)


def test_log_loss_agrees_with_scikit_learn(rows):
    label, p, weight = rows

    for w in (None, weight):
        expected = sklearn.metrics.log_loss(label, p, sample_weight=w)
        assert abs(log_loss(label, p, w) - expected) < 1e-12


def test_a_weight_of_two_counts_as_two_rows(rows):
    label, p, _ = rows
    weight = 1.0 + (np.arange(3000) % 3 == 0)
    twice = np.repeat(np.arange(3000), weight.astype(int))

    for metric in (log_loss, normalized_entropy):
        expected = metric(label[twice], p[twice])
        assert abs(metric(label, p, weight) - expected) < 1e-12


def test_certain_and_wrong_costs_a_finite_loss():
    expected = -math.log(1e-7)

    assert log_loss(np.ones(1), np.zeros(1)) == pytest.approx(expected)
    assert log_loss(np.zeros(1), np.ones(1)) == pytest.approx(expected)


def test_normalized_entropy_divides_by_the_loss_of_the_mean(rows):
    label, p, weight = rows

    for w in (None, weight):
        mean = np.full(3000, np.average(label, weights=w))
        base, loss = (
            sklearn.metrics.log_loss(label, q, sample_weight=w)
            for q in (mean, p)
        )
        assert normalized_entropy(label, p, w) == pytest.approx(loss / base)
        assert normalized_entropy(label, mean, w) == pytest.approx(1)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_normalized_entropy(label):
    assert math.isnan(normalized_entropy(np.full(3, label), np.full(3, 0.5)))
