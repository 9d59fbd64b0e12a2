"""Means and standard deviations over seeds."""

import math

import pytest

from deepfm_tf.report import summarize_runs
from tests.report.reports import make_runs


def test_each_model_has_one_row_in_order_of_appearance():
    summary = summarize_runs(make_runs(num_seeds=3))

    assert [(r["model"], r["seeds"]) for r in summary] == [
        ("logistic_regression", 3),
        ("fm", 3),
        ("deepfm", 3),
    ]
    # .71, .72, .73
    assert summary[0]["auc"] == {
        "mean": pytest.approx(0.72),
        "std": pytest.approx(0.01),
    }
    assert summary[0]["seconds"]["mean"] == pytest.approx(5.0)


def test_one_run_has_no_standard_deviation():
    (first, *_) = summarize_runs(make_runs(num_seeds=1))

    assert first["auc"] == {"mean": pytest.approx(0.71), "std": None}


def test_what_is_undefined_does_not_count():
    runs = make_runs(num_seeds=3)[::3]
    runs[0]["test"]["auc"] = None
    runs[1]["test"]["auc"] = math.nan

    (row,) = summarize_runs(runs)

    assert row["auc"] == {"mean": pytest.approx(0.73), "std": None}
    assert row["log_loss"]["std"] is not None


def test_runs_that_do_not_reach_the_mark_are_counted():
    runs = make_runs(num_seeds=2)
    runs[1]["steps_to_reach"] = None

    _, fm, deepfm = summarize_runs(runs)

    assert fm["steps_to_reach"] == {"mean": 8.0, "std": None, "reached": 1}
    assert deepfm["steps_to_reach"]["reached"] == 2
