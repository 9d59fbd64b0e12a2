"""Metrics batch by batch against scikit-learn and the exact functions."""

import math

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.metrics import (
    StreamingMetrics,
    binary_metrics,
    bootstrap_intervals,
    compare_models,
    reliability_curve,
)
from tests.metrics.rows import make_rows


def stream(label, p, weight=None, batch=977, **arguments):
    metrics = StreamingMetrics(**arguments)
    for start in range(0, len(label), batch):
        part = slice(start, start + batch)
        metrics.update(
            label[part], p[part], None if weight is None else weight[part]
        )
    return metrics


@pytest.mark.parametrize("rate", [0.3, 0.001])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_but_the_auc_is_exact(rate, weighted):
    label, p = make_rows(20_000, rate=rate)
    weight = None
    if weighted:
        weight = np.random.default_rng(1).exponential(size=20_000)
        weight[:2000] = 0  # whole batches of no weight

    result = stream(label, p, weight).result()

    expected = binary_metrics(label, p, weight)
    expected["log_loss"] = sklearn.metrics.log_loss(
        label, p, sample_weight=weight
    )
    for name in expected.keys() - {"auc", "expected_calibration_error"}:
        assert result[name] == pytest.approx(expected[name], rel=1e-9), name


@pytest.mark.parametrize(
    ("rate", "spread"), [(0.3, 1.0), (0.001, 1.5), (0.03, 0.25), (0.5, 6.0)]
)
def test_the_auc_is_within_its_bound_and_that_within_1e_4(rate, spread):
    label, p = make_rows(100_000, 3, rate, spread)
    p = p.astype(np.float32)  # as models answer

    result = stream(label, p, batch=20_000).result()

    exact = sklearn.metrics.roc_auc_score(label, p)
    # Rounding of the sums aside.
    assert abs(result["auc"] - exact) <= result["auc_error"] + 1e-12
    assert result["auc_error"] < 1e-4
    assert abs(result["auc"] - exact) < 1e-5


def test_probabilities_too_close_for_the_steps_show_in_the_bound():
    label, p = make_rows(3000, spread=1e-6)

    result = stream(label, p).result()

    exact = sklearn.metrics.roc_auc_score(label, p)
    assert abs(result["auc"] - exact) <= result["auc_error"]
    assert result["auc_error"] > 0.01


@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_of_the_auc_is_reached(sign):
    # One step holds all rows, which are ranked without a fault or all wrong.
    label = np.repeat([0, 1], 20)
    p = 0.75 + sign * np.linspace(0, 0.2, 40)

    result = stream(label, p, num_bins=2).result()

    assert result["auc"] == 0.5
    assert abs(result["auc"] - (sign > 0)) == result["auc_error"] == 0.5


def test_ties_are_no_error():
    label, p = make_rows(5000, decimals=2)

    result = stream(label, p).result()

    exact = sklearn.metrics.roc_auc_score(label, p)
    assert result["auc"] == pytest.approx(exact, rel=1e-12)
    assert result["auc_error"] == 0


def test_merging_equals_one_stream():
    label, p = make_rows(5000)
    weight = np.random.default_rng(1).exponential(size=5000)
    whole = stream(label, p, weight).result()
    parts = [
        stream(label[part], p[part], weight[part])
        for part in (slice(0, 1234), slice(1234, None))
    ]

    parts[0].merge(parts[1])
    merged = parts[0].result()

    for name, low_high in whole.pop("intervals").items():
        assert merged["intervals"][name] == pytest.approx(low_high, rel=1e-9)
    del merged["intervals"]
    assert merged == pytest.approx(whole, rel=1e-9)


def test_memory_does_not_grow_with_rows():
    def size(metrics):
        arrays = vars(metrics).values()
        return sum(getattr(array, "nbytes", 0) for array in arrays)

    metrics = StreamingMetrics()
    before = size(metrics)
    for seed in range(3):
        metrics.update(*make_rows(50_000, seed))

    assert size(metrics) == before < 15e6


def test_the_curve_is_that_of_all_rows():
    label, p = make_rows(50_000, rate=0.05)
    expected = reliability_curve(label, p)

    metrics = stream(label, p)
    curve = metrics.reliability_curve()

    # A step of the logits more or less at the edges of a bin.
    np.testing.assert_allclose(curve.weight, expected.weight, rtol=0.01)
    np.testing.assert_allclose(
        curve.probability, expected.probability, rtol=0.002
    )
    error = expected.expected_calibration_error
    assert metrics.result()["expected_calibration_error"] == pytest.approx(
        error, rel=0.05
    )
    total = (curve.weight * curve.label).sum()
    assert total == pytest.approx(label.sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_agree_with_the_bootstrap(weighted):
    label, p = make_rows(6_000, rate=0.1)
    weight = None
    if weighted:
        weight = np.random.default_rng(1).exponential(size=6_000)

    intervals = stream(label, p, weight).result()["intervals"]

    expected = bootstrap_intervals(label, p, weight)
    for name, (low, high) in expected.items():
        # A percentile of 1000 replicates is known to some 5 %.
        slack = 0.1 * (high - low)
        assert intervals[name] == pytest.approx((low, high), abs=slack), name


@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_of_means_are_their_standard_errors(weighted):
    # Means far from 0, which a variance about 0 would take for spread.
    label, p = make_rows(3000, rate=0.6, spread=0.3)
    weight = np.ones(3000)
    if weighted:
        weight = np.random.default_rng(1).exponential(size=3000)

    intervals = stream(label, p, weight).result(0.95)["intervals"]

    loss = -np.log(np.where(label == 1, p, 1 - p))
    share = weight / weight.sum()
    ratio = (share @ p) / (share @ label)
    for name, value, deviation in (
        ("log_loss", share @ loss, loss - share @ loss),
        ("mean_label", share @ label, label - share @ label),
        ("calibration_ratio", ratio, (p - ratio * label) / (share @ label)),
    ):
        margin = 1.959964 * np.sqrt(share**2 @ deviation**2)
        assert intervals[name] == pytest.approx(
            (value - margin, value + margin), rel=1e-6
        ), name


def test_the_interval_of_the_auc_is_delongs():
    label, p = make_rows(2000)
    # Against a model that ranks nothing: all of the difference is this one's.
    expected = compare_models(label, p, np.full(2000, 0.5))["auc"].margin

    low, high = stream(label, p).result()["intervals"]["auc"]

    assert (high - low) / 2 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_what_is_defined(label):
    metrics = StreamingMetrics()
    metrics.update(np.full(4, label), np.array([0.1, 0.2, 0.3, 0.4]))

    result = metrics.result()

    assert math.isnan(result["auc"])
    assert math.isnan(result["normalized_entropy"])
    assert math.isnan(result["calibration_ratio"]) == (label == 0)
    assert result["log_loss"] > 0


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="Received: 0 rows. Call `update`"):
        StreamingMetrics().result()
    with pytest.raises(ValueError, match="num_bins=1"):
        StreamingMetrics(num_bins=1)
    with pytest.raises(ValueError, match="Received: 8 and 9"):
        StreamingMetrics(8).merge(StreamingMetrics(9))
    with pytest.raises(ValueError, match="0 and 1 only"):
        StreamingMetrics().update([3], [0.5])
