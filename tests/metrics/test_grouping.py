"""GAUC against a loop over groups."""

import math

import numpy as np
import pytest

from deepfm_tf.metrics import grouped_auc
from tests.metrics.rows import make_rows, naive_auc


@pytest.mark.parametrize("decimals", [1, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_gauc_is_the_weighted_mean_of_the_groups(decimals, weighted):
    label, p = make_rows(400, decimals=decimals)
    random = np.random.default_rng(1)
    groups = random.zipf(1.5, 400) % 60 - 7
    weight = random.exponential(size=400) if weighted else np.ones(400)
    weight[::9] = 0 if weighted else 1
    total = won = 0.0
    count = 0
    for group in set(groups.tolist()):
        rows = groups == group
        value = naive_auc(label[rows], p[rows], weight[rows])
        if value is not None:
            count += 1
            total += weight[rows].sum()
            won += weight[rows].sum() * value

    result = grouped_auc(label, p, groups, weight if weighted else None)

    assert 5 < count < len(set(groups.tolist()))
    assert result.auc == pytest.approx(won / total, rel=1e-12)
    assert result.num_groups == count
    assert result.share == pytest.approx(total / weight.sum())


def test_groups_may_be_text_or_huge_ids():
    label, p = make_rows(300)
    groups = np.random.default_rng(1).integers(0, 20, 300)
    expected = grouped_auc(label, p, groups)

    for named in (
        np.array([f"user {g}" for g in groups]),
        np.array([f"user {g}" for g in groups], dtype=object),
        groups * 10**16 - 9 * 10**16,
        groups.astype(np.uint64) + np.uint64(2**63),
        groups / 7,
    ):
        result = grouped_auc(label, p, named)
        assert result.num_groups == expected.num_groups
        assert result.auc == pytest.approx(expected.auc, rel=1e-12)


def test_groups_of_one_class_alone_have_no_gauc():
    result = grouped_auc([0, 1, 1], [0.1, 0.2, 0.3], np.array([0, 1, 1]))

    assert math.isnan(result.auc)
    assert result[1:] == (0, 0.0)


def test_a_better_order_of_the_groups_gains_nothing():
    label, p = make_rows(500)
    groups = np.arange(500) % 50

    shifted = p / 2 + groups / 100

    assert grouped_auc(label, shifted, groups).auc == pytest.approx(
        grouped_auc(label, p, groups).auc
    )
