"""What metrics refuse."""

import math

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.metrics import auc, calibration_ratio, grouped_auc, log_loss


@pytest.mark.parametrize(
    ("label", "p", "message"),
    [
        ([1], [0.5, 0.5], "must have one length"),
        ([], [], "at least 1"),
        ([2], [0.5], "must hold 0 and 1 only. Received: 2.0"),
        ([1], [math.nan], "The model has diverged"),
    ],
)
def test_wrong_rows_are_refused(label, p, message):
    with pytest.raises(ValueError, match=message):
        auc(np.array(label), np.array(p))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0], "one value for each of the 2 rows. Received: 1"),
        ([1.0, -0.5], "at least 0. Received: values from -0.5"),
        ([1.0, math.inf], "must be finite"),
        ([1.0, math.nan], "must be finite"),
        ([0.0, 0.0], "must be above 0 for some row"),
    ],
)
def test_wrong_weights_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        auc(np.array([0, 1]), np.array([0.5, 0.5]), np.array(weight))


@pytest.mark.parametrize("metric", [log_loss, calibration_ratio])
def test_logits_are_no_probabilities(metric):
    with pytest.raises(ValueError, match="from -2.0 to 3.0. Logits become"):
        metric(np.array([0, 1]), np.array([-2.0, 3.0]))


@pytest.mark.parametrize(
    "groups",
    [
        ["a", "a", "b", "b", None, None],
        ["a", "a", "b", "b", "", ""],
        np.array(["a", "a", "b", "b", "", ""]),
        np.array([1.0, 1, 2, 2, np.nan, np.nan]),
        pd.Series([1, 1, 2, 2, None, None], dtype="Int64"),
        pd.Series(["a", "a", 7, 7, pd.NA, pd.NA], dtype=object),
        pd.to_datetime(["2024-05-01"] * 2 + ["2024-05-02"] * 2 + [None] * 2),
        pd.Series(["a", "a", "b", "b", None, None], dtype="category"),
    ],
    ids=range(8),
)
def test_rows_without_a_group_are_in_none(groups):
    label = np.array([1, 0, 1, 0, 1, 0])
    p = np.array([0.9, 0.1, 0.2, 0.8, 0.9, 0.1])

    result = grouped_auc(label, p, groups)
    metrics = deepfm_tf.metrics.binary_metrics(label, p, groups=groups)

    # One group is ranked well, one badly; the last rows are not a third.
    assert result == (0.5, 2, pytest.approx(4 / 6))
    assert metrics["grouped_left_out"] == 2


def test_groups_must_be_one_a_row():
    with pytest.raises(ValueError, match=r"shape \(2,\).*shape \(2, 1\)"):
        grouped_auc([0, 1], [0.5, 0.5], np.zeros((2, 1)))


def test_a_confidence_in_percent_is_refused():
    with pytest.raises(ValueError, match="such as 0.95. Received: .*95"):
        deepfm_tf.metrics.compare_models(
            [0, 1], [0.1, 0.2], [0.1, 0.2], confidence=95
        )
