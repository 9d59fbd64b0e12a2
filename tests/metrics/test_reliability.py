"""Calibration against scikit-learn and plain loops."""

import math

import numpy as np
import pytest
import sklearn.calibration

from deepfm_tf.metrics import (
    calibration_ratio,
    expected_calibration_error,
    reliability_curve,
)
from tests.metrics.rows import make_rows


def test_the_curve_agrees_with_scikit_learn_on_quantiles():
    label, p = make_rows(4000, rate=0.05)

    curve = reliability_curve(label, p, num_bins=10)

    expected_label, expected_p = sklearn.calibration.calibration_curve(
        label, p, n_bins=10, strategy="quantile"
    )
    np.testing.assert_allclose(curve.label, expected_label, rtol=1e-12)
    np.testing.assert_allclose(curve.probability, expected_p, rtol=1e-12)
    np.testing.assert_array_equal(curve.weight, np.full(10, 400))


@pytest.mark.parametrize("decimals", [1, 2, None])
def test_the_calibration_error_is_that_of_a_loop_over_bins(decimals):
    label, p = make_rows(1001, decimals=decimals)
    weight = np.random.default_rng(1).exponential(size=1001)
    sums = [[0.0, 0.0, 0.0] for _ in range(7)]
    for value in sorted(set(p)):
        middle = weight[p < value].sum() + weight[p == value].sum() / 2
        number = int(middle / weight.sum() * 7)
        for row in np.flatnonzero(p == value):
            sums[number][0] += weight[row]
            sums[number][1] += weight[row] * p[row]
            sums[number][2] += weight[row] * label[row]
    expected = sum(abs(a - b) for _, a, b in sums) / weight.sum()

    error = expected_calibration_error(label, p, weight, num_bins=7)

    assert error == pytest.approx(expected, rel=1e-9)


def test_equal_probabilities_share_a_bin_and_no_bin_is_empty():
    label, p = np.array([1, 0, 0, 0, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.9])

    curve = reliability_curve(label, p)

    np.testing.assert_allclose(curve.probability, [0.2, 0.9])
    np.testing.assert_allclose(curve.label, [0.25, 1])
    assert curve.weight.tolist() == [4, 1]
    assert curve.expected_calibration_error == pytest.approx(0.06)


def test_rows_of_weight_0_are_not_on_the_curve():
    label, p = make_rows(100)
    weight = np.where(p > 0.3, 0.0, 1.0)

    for bins in (3, 20, 1000):
        curve = reliability_curve(label, p, weight, bins)
        assert curve.probability.max() <= 0.3
        assert curve.weight.sum() == weight.sum()


def test_chance_alone_gives_the_error_that_the_docstring_says():
    label, p = make_rows(20_000, rate=0.1, spread=0.01)

    error = expected_calibration_error(label, p, num_bins=20)

    # A mean of 20 absolute normal deviates: 17 % of it is one deviation.
    expected = 0.8 * math.sqrt(0.1 * 0.9 * 20 / 20_000)
    assert error == pytest.approx(expected, rel=0.5)


def test_calibration_ratio_is_of_the_means():
    label, p = np.array([0, 1, 0, 0]), np.array([0.1, 0.2, 0.3, 0.4])

    assert calibration_ratio(label, p) == pytest.approx(1.0)
    assert calibration_ratio(label, p, [0, 1, 1, 0]) == pytest.approx(0.5)
    assert math.isnan(calibration_ratio(np.zeros(4), p))


def test_bins_are_counted_from_one():
    with pytest.raises(ValueError, match="num_bins=0"):
        reliability_curve([0, 1], [0.1, 0.2], num_bins=0)
