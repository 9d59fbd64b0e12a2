"""Bootstrap intervals against simulation and theory."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from deepfm_tf.metrics import bootstrap_intervals, grouped_auc
from deepfm_tf.metrics.bootstrap import resample
from tests.metrics.rows import make_rows

# Of a model whose logit of a row is normal, one apart between the classes,
# at a mean label of 0.3; the log loss is a mean over 10^7 rows.
TRUTH = {
    "auc": NormalDist().cdf(1 / math.sqrt(2)),
    "calibration_ratio": 1.0,
    "mean_label": 0.3,
}


def draw(num_rows, seed):
    random = np.random.default_rng(seed)
    label = (random.random(num_rows) < 0.3).astype(int)
    logit = random.normal(size=num_rows) + label - 0.5 + math.log(0.3 / 0.7)
    return label, 1 / (1 + np.exp(-logit))


@pytest.mark.long
def test_intervals_hold_the_true_value_as_often_as_they_say():
    label, p = draw(1_000_000, 0)
    loss = -np.mean(np.log(np.where(label > 0, p, 1 - p)))
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    truth = TRUTH | {"log_loss": loss, "normalized_entropy": loss / entropy}
    held = dict.fromkeys(truth, 0)

    for trial in range(200):
        intervals = bootstrap_intervals(
            *draw(300, trial + 1), num_replicates=100, confidence=0.9
        )
        for name, value in truth.items():
            held[name] += intervals[name][0] <= value <= intervals[name][1]

    # 180 expected; three standard deviations are 13, and percentiles of 300
    # rows hold a little less than they say.
    for name, count in held.items():
        assert 164 <= count <= 194, (name, count)


def test_the_interval_of_a_mean_is_the_normal_one():
    label, p = make_rows(4_000, rate=0.1)
    margin = 1.96 * math.sqrt(label.mean() * (1 - label.mean()) / 4_000)

    low, high = bootstrap_intervals(label, p)["mean_label"]

    # A percentile of 1000 replicates is known to some 5 % of the margin.
    assert low == pytest.approx(label.mean() - margin, abs=0.15 * margin)
    assert high == pytest.approx(label.mean() + margin, abs=0.15 * margin)


def test_rows_of_one_group_are_no_evidence_of_their_own():
    label, p = make_rows(500)
    groups = np.repeat(np.arange(500), 4)
    expected = bootstrap_intervals(label, p)

    repeated = [np.repeat(values, 4) for values in (label, p)]
    grouped = bootstrap_intervals(*repeated, groups=groups)
    rowwise = bootstrap_intervals(*repeated)

    for name, (low, high) in expected.items():
        width = high - low
        assert np.diff(grouped[name])[0] == pytest.approx(width, rel=0.15)
        assert np.diff(rowwise[name])[0] == pytest.approx(width / 2, rel=0.15)


def test_gauc_has_an_interval_over_groups():
    label, p = make_rows(2000)
    groups = np.random.default_rng(1).integers(0, 100, 2000)
    values = []
    random = np.random.default_rng(2)
    rows_of = [np.flatnonzero(groups == g) for g in range(100)]
    for _ in range(200):
        # A draw with replacement; a group drawn twice is two groups.
        drawn = random.integers(0, 100, 100)
        rows = np.concatenate([rows_of[g] for g in drawn])
        new = np.repeat(np.arange(100), [len(rows_of[g]) for g in drawn])
        values.append(grouped_auc(label[rows], p[rows], new).auc)

    low, high = bootstrap_intervals(label, p, groups=groups)["grouped_auc"]

    assert low < grouped_auc(label, p, groups).auc < high
    assert high - low == pytest.approx(4 * 0.98 * np.std(values), rel=0.2)


def test_a_seed_decides_and_weights_count():
    label, p = make_rows(300)
    weight = np.where(np.arange(300) < 100, 1.0, 0.0)

    one, same, other = (
        bootstrap_intervals(label, p, num_replicates=50, seed=seed)
        for seed in (1, 1, 2)
    )
    first = bootstrap_intervals(label[:100], p[:100])
    weighted = bootstrap_intervals(label, p, weight)

    assert one == same != other
    for name, (low, high) in first.items():
        width = high - low
        assert weighted[name][0] == pytest.approx(low, abs=0.15 * width)
        assert weighted[name][1] == pytest.approx(high, abs=0.15 * width)


def test_one_class_has_intervals_of_what_is_defined():
    intervals = bootstrap_intervals(np.zeros(50), np.full(50, 0.1))

    for name in ("auc", "normalized_entropy", "calibration_ratio"):
        assert all(map(math.isnan, intervals[name]))
    assert intervals["mean_label"] == (0.0, 0.0)
    assert intervals["log_loss"][1] == pytest.approx(-math.log(0.9))


def test_counts_are_poisson_numbers():
    # The replicates of a single row that counts 1.
    totals = resample(np.ones((1, 1)), 1_000_000, np.random.default_rng(0))

    counts = totals[:, 0].astype(int)
    shares = np.bincount(counts, minlength=6)[:6] / 1e6
    expected = [math.exp(-1) / math.factorial(k) for k in range(6)]
    np.testing.assert_allclose(shares, expected, atol=0.002)


def test_replicates_are_counted_from_one():
    with pytest.raises(ValueError, match="num_replicates=0"):
        bootstrap_intervals([0, 1], [0.1, 0.2], num_replicates=0)
