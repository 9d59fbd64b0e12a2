"""Intervals of one pass against the bootstrap and a simulation."""

import math

import numpy as np
import pytest

from deepfm_tf.metrics import (
    bootstrap_intervals,
    compare_models,
    metric_intervals,
)
from tests.metrics.rows import make_rows


def are_alike(found, expected):
    """To what 400 replicates tell: the width to a tenth, its place as well."""
    assert set(found) == set(expected)
    for name, (low, high) in expected.items():
        width = high - low
        assert np.diff(found[name])[0] == pytest.approx(width, rel=0.2), name
        assert found[name][0] == pytest.approx(low, abs=0.2 * width), name


@pytest.mark.parametrize("is_weighted", [False, True])
def test_many_rows_have_the_intervals_of_the_bootstrap(is_weighted):
    label, p = make_rows(20_000, rate=0.2)
    weight = None
    if is_weighted:
        weight = np.random.default_rng(0).integers(0, 4, 20_000)

    found = metric_intervals(label, p, weight)

    are_alike(found, bootstrap_intervals(label, p, weight, num_replicates=400))


def test_many_groups_have_them_too():
    label, p = make_rows(5_000, rate=0.5)
    groups = np.repeat(np.random.default_rng(0).permutation(5_000), 6)
    rows = [np.repeat(values, 6) for values in (label, p)]
    # Both classes in a group, else it has no AUC.
    rows[0][::6] = 1 - rows[0][1::6]

    found = metric_intervals(*rows, groups=groups)

    expected = bootstrap_intervals(*rows, groups=groups, num_replicates=400)
    are_alike(found, expected)
    alone = metric_intervals(*rows)
    assert np.diff(found["mean_label"]) > 1.2 * np.diff(alone["mean_label"])


def test_they_hold_the_true_value_as_often_as_they_say():
    # A row is clicked with its probability; of 100 values, 40 rows each.
    chances = np.linspace(0.3, 0.7, 100)
    p = np.repeat(chances, 60)
    truth = {
        "log_loss": -np.mean(
            chances * np.log(chances) + (1 - chances) * np.log(1 - chances)
        ),
        "mean_label": 0.5,
    }
    random = np.random.default_rng(1)
    held = dict.fromkeys(truth, 0)

    for _ in range(300):
        label = (random.random(6_000) < p).astype(int)
        intervals = metric_intervals(label, p, confidence=0.9)
        for name, value in truth.items():
            held[name] += intervals[name][0] <= value <= intervals[name][1]

    # 270 expected; three standard deviations are 16. The rows' probabilities
    # do not vary from draw to draw here, so that intervals hold more often.
    assert all(254 <= count for count in held.values()), held


def test_few_rows_of_a_class_are_resampled():
    label, p = make_rows(2_000, rate=0.1)

    found = metric_intervals(label, p, confidence=0.8)

    assert found == bootstrap_intervals(label, p, confidence=0.8)


def test_groups_of_one_class_are_no_evidence_of_their_auc():
    groups = np.repeat(np.arange(4_200), 2)
    label = np.repeat([0, 1], 4_200)
    p = np.random.default_rng(3).uniform(0.1, 0.9, 8_400)
    label[:20] = np.tile([0, 1], 10)  # ten groups of both

    found = metric_intervals(label, p, groups=groups)

    assert found == bootstrap_intervals(label, p, groups=groups)
    low, high = found["grouped_auc"]
    assert high - low > 0.2


def test_the_mean_has_the_textbooks_interval():
    label = np.tile([0, 0, 0, 1], 5_000)
    margin = 1.959964 * math.sqrt(0.25 * 0.75 / 19_999)

    low, high = metric_intervals(label, np.full(20_000, 0.3))["mean_label"]

    assert (low, high) == pytest.approx((0.25 - margin, 0.25 + margin))


def test_two_models_of_many_rows_are_told_apart_by_a_paired_test():
    label, p = make_rows(20_000, rate=0.3)
    other = np.clip(p + np.random.default_rng(2).normal(0, 0.02, 20_000), 0, 1)
    losses = [
        -np.log(np.clip(np.where(label > 0, each, 1 - each), 1e-7, 1))
        for each in (p, other)
    ]
    gain = losses[1] - losses[0]
    error = gain.std(ddof=1) / math.sqrt(20_000)

    found = compare_models(label, p, other)["log_loss"]

    assert found.improvement == pytest.approx(gain.mean())
    assert found.margin == pytest.approx(1.959964 * error)
    two_sided = math.erfc(abs(gain.mean()) / error / math.sqrt(2))
    assert found.p_value == pytest.approx(two_sided, rel=1e-4)
