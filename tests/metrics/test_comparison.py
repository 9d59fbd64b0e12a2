"""Paired comparison against DeLong's definition and simulation."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.metrics import Comparison, compare_models
from deepfm_tf.metrics.comparison import paired_improvement
from tests.metrics.rows import make_rows


def two_models(num_rows, seed=0, first=0.5, second=1.0):
    """Scores of the same rows with more or less noise."""
    random = np.random.default_rng(seed)
    label = (random.random(num_rows) < 0.3).astype(int)
    signal = random.normal(size=num_rows) + label
    scores = [
        signal + s * random.normal(size=num_rows) for s in (first, second)
    ]
    return label, *(1 / (1 + np.exp(1 - score)) for score in scores)


def naive_delong(label, first, second):
    """Variance of the difference, from the components of the paper."""
    components = []
    for p in (first, second):
        positive, negative = p[label == 1], p[label == 0]
        psi = [[(x > y) + 0.5 * (x == y) for y in negative] for x in positive]
        components.append((np.mean(psi, axis=1), np.mean(psi, axis=0)))
    variance = 0.0
    for one, other in zip(*components, strict=True):
        covariance = np.cov(one, other)
        variance += (
            covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        ) / len(one)
    return variance


@pytest.mark.parametrize("decimals", [1, 9])
def test_auc_has_the_interval_that_delong_defines(decimals):
    label, first, second = two_models(150)
    first, second = first.round(decimals), second.round(decimals)
    error = math.sqrt(naive_delong(label, first, second))

    result = compare_models(label, first, second, num_replicates=1)["auc"]

    areas = [sklearn.metrics.roc_auc_score(label, p) for p in (first, second)]
    assert [result.first, result.second] == pytest.approx(areas, rel=1e-12)
    assert result.improvement == pytest.approx(areas[0] - areas[1], rel=1e-9)
    assert result.margin == pytest.approx(1.959964 * error, rel=1e-6)
    z = result.improvement / error
    expected = 2 * (1 - NormalDist().cdf(abs(z)))
    assert result.p_value == pytest.approx(expected, rel=1e-6)


@pytest.mark.long
def test_intervals_hold_the_true_difference_as_often_as_they_say():
    noise = 0.5, 1.0
    areas = [NormalDist().cdf(1 / math.sqrt(2 * (1 + s * s))) for s in noise]
    label, *many = two_models(1_000_000, 1)
    losses = [sklearn.metrics.log_loss(label, p) for p in many]
    truth = {"auc": areas[0] - areas[1], "log_loss": losses[1] - losses[0]}
    held = {"auc": 0, "log_loss": 0}

    for trial in range(400):
        results = compare_models(
            *two_models(200, trial + 2), num_replicates=200
        )
        for name, value in truth.items():
            held[name] += results[name].low <= value <= results[name].high

    # 380 expected, and a standard deviation of 4.4; percentiles of 200 rows
    # hold a little less than they say.
    assert 365 <= held["auc"] <= 394
    assert 360 <= held["log_loss"] <= 394


@pytest.mark.long
def test_equal_models_differ_significantly_no_more_often_than_said():
    p_values = {"auc": [], "log_loss": []}
    for trial in range(400):
        rows = two_models(200, trial, 0.7, 0.7)
        for name, result in compare_models(*rows, num_replicates=200).items():
            p_values[name].append(result.p_value)

    # 40 of 400 expected, and a standard deviation of 6.
    for values in p_values.values():
        assert 22 <= np.sum(np.array(values) < 0.1) <= 58


def test_log_loss_agrees_with_the_normal_interval_of_the_mean_difference():
    label, first, second = two_models(5000)
    losses = [-np.log(np.where(label > 0, p, 1 - p)) for p in (first, second)]
    gain = losses[1] - losses[0]

    result = compare_models(label, first, second)["log_loss"]

    assert result.improvement == pytest.approx(gain.mean())
    margin = 1.96 * gain.std() / math.sqrt(5000)
    assert result.margin == pytest.approx(margin, rel=0.1)
    assert result.p_value < 0.01


def test_swapping_the_models_turns_the_sign():
    label, first, second = two_models(500)

    there = compare_models(label, first, second)
    back = compare_models(label, second, first)

    for name in there:
        assert back[name].improvement == -there[name].improvement
        assert back[name].low == pytest.approx(-there[name].high)
        assert back[name].p_value == pytest.approx(there[name].p_value)


def test_a_model_is_no_better_than_itself():
    label, p = make_rows(200)

    for result in compare_models(label, p, p).values():
        assert (result.improvement, result.margin, result.p_value) == (0, 0, 1)
        assert str(result) == "equal"


def test_rows_of_one_group_are_no_evidence_of_their_own():
    rows = two_models(400)
    groups = np.repeat(np.arange(400), 4)
    expected = compare_models(*rows)

    repeated = [np.repeat(values, 4) for values in rows]
    grouped = compare_models(*repeated, groups=groups)
    rowwise = compare_models(*repeated)

    # By class or together: 1 / (n - 1) differs by less than 1 %.
    assert grouped["auc"].margin == pytest.approx(
        expected["auc"].margin, rel=0.01
    )
    for name, result in expected.items():
        margin = result.margin
        assert grouped[name].margin == pytest.approx(margin, rel=0.15)
        assert rowwise[name].margin == pytest.approx(margin / 2, rel=0.15)


def test_weights_of_0_leave_rows_out():
    rows = two_models(300)
    weight = np.where(np.arange(300) < 120, 2.5, 0.0)

    expected = compare_models(*(values[:120] for values in rows))
    weighted = compare_models(*rows, weight)

    assert weighted["auc"].margin == pytest.approx(expected["auc"].margin)
    for name, result in expected.items():
        assert weighted[name].improvement == pytest.approx(result.improvement)
        assert weighted[name].margin == pytest.approx(result.margin, rel=0.15)


@pytest.mark.parametrize("rarer", [9, 10])
def test_a_handful_of_rows_of_a_class_gives_no_interval(rarer):
    label = np.arange(200) < rarer
    random = np.random.default_rng(3)
    first, second = random.uniform(0.01, 0.2, (2, 200)) + 0.5 * label
    weight = np.ones(200)
    weight[-50:] = 0  # of no class

    for result in compare_models(label, first, second, weight).values():
        told = not math.isnan(result.margin)
        assert told == (not math.isnan(result.p_value)) == (rarer == 10)
        few = "undefined: fewer than 10 rows of a class"
        assert (str(result) == few) == (not told)
        assert math.isfinite(result.improvement)


def test_one_class_has_no_auc_to_compare():
    result = compare_models(np.ones(5), np.full(5, 0.2), np.full(5, 0.3))

    assert str(result["auc"]) == "undefined: the rows are all of one class"
    assert result["log_loss"].improvement == pytest.approx(math.log(0.2 / 0.3))


@pytest.mark.parametrize(
    ("improvement", "margin", "text"),
    [
        (0.0021, 0.0006, "better by 0.0021 ± 0.0006 (90 %)"),
        (-0.0021, 0.0006, "worse by 0.0021 ± 0.0006 (90 %)"),
        (0.0001, 0.0006, "better by 0.0001 ± 0.0006 (90 %), which may be"),
        (0.000123, 0.00002, "better by 0.00012 ± 0.00002 (90 %)"),
        (-0.00002, 0.0006, "equal within ± 0.0006 (90 %)"),
    ],
)
def test_it_reads_as_a_sentence(improvement, margin, text):
    low, high = improvement - margin, improvement + margin

    comparison = Comparison("auc", 0.8, 0.8, improvement, low, high, 0.01, 0.9)

    assert str(comparison).startswith(text)


def test_the_paired_error_is_that_of_the_rows_and_of_delong():
    label, first, second = two_models(150)
    losses = [-np.log(np.where(label > 0, p, 1 - p)) for p in (first, second)]
    less = losses[1] - losses[0]

    gain, error = paired_improvement("log_loss", label, first, second)
    higher, error_of_auc = paired_improvement("auc", label, first, second)

    assert gain == pytest.approx(less.mean())
    assert error == pytest.approx(less.std(ddof=1) / math.sqrt(len(label)))
    areas = [sklearn.metrics.roc_auc_score(label, p) for p in (first, second)]
    assert higher == pytest.approx(areas[0] - areas[1])
    expected = math.sqrt(naive_delong(label, first, second))
    assert error_of_auc == pytest.approx(expected, rel=1e-6)
