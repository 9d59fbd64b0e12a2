"""The calibration at the end of a training."""

import argparse

import numpy as np
import pytest
import sklearn.metrics

import deepfm_tf
from deepfm_tf.experiment import results as calibrating


class Part:
    """Stands for prepared data; its data set is its name."""

    class Name(str):
        """A data set that can be kept in memory."""

        def cache(self):
            return self

    groups = None

    def __init__(self, name, num_rows=100, num_positives=50):
        self.name = name
        self.num_rows, self.num_positives = num_rows, num_positives

    def dataset(self, batch_size):
        return self.Name(self.name)


def make_rows(num_rows, seed):
    """Labels, probabilities of a model that is too sure, weights."""
    random = np.random.default_rng(seed)
    truth = random.normal(-1, 1.5, num_rows)
    label = (random.random(num_rows) < 1 / (1 + np.exp(-truth))).astype(float)
    weight = np.where(label > 0, 2.0, 1.0)
    return label, 1 / (1 + np.exp(-2 * truth)), weight


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_fitted_on_validation_and_measured_on_test_rows(
    weighted, monkeypatch, capsys
):
    rows = {"valid": make_rows(3000, 1), "test": make_rows(2000, 2)}
    if not weighted:
        rows = {name: (*part[:2], None) for name, part in rows.items()}
    monkeypatch.setattr(
        deepfm_tf.evaluation,
        "predict_with_weights",
        lambda model, name: rows[name],
    )
    settings = argparse.Namespace(calibration="platt", evaluation_batch_size=10)
    label, probability, weight = rows["test"]
    before = deepfm_tf.metrics.binary_metrics(label, probability, weight)

    calibration, result = calibrating.calibrate(
        *(
            settings,
            None,
            {"valid": Part("valid"), "test": Part("test")},
            {"test": before},
        ),
        rows["test"],
    )

    out = capsys.readouterr().out
    expected = sklearn.metrics.log_loss(
        label, calibration(probability), sample_weight=weight
    )
    assert calibration.rows == result["rows"] == 3000
    # Twice the weight of clicks is twice the odds.
    assert calibration.parameters["intercept"] == pytest.approx(
        np.log(2) * weighted, abs=0.15
    )
    assert result["method"] == "platt" and result["note"] is None
    assert result["test"]["log_loss"] == pytest.approx(expected)
    assert result["test"]["log_loss"] < before["log_loss"]
    assert sum(result["reliability"]["weight"]) == (
        weight.sum() if weighted else 2000
    )
    assert "on 3,000 validation rows, which also chose the epoch: log" in out
    assert f"log loss {before['log_loss']:.5f} → {expected:.5f};" in out
    assert f"AUC {before['auc']:.5f}, unchanged" in out


def test_what_a_calibration_does_not_mend_is_said(monkeypatch, capsys):
    label, probability, _ = make_rows(3000, 1)
    rows = {"valid": (label, probability, None)}
    # The test rows are calibrated as they are.
    truth = np.random.default_rng(3).uniform(0.05, 0.6, 4000)
    fresh = (np.random.default_rng(4).random(4000) < truth).astype(float)
    rows["test"] = (fresh, truth, None)
    monkeypatch.setattr(
        deepfm_tf.evaluation,
        "predict_with_weights",
        lambda model, name: rows[name],
    )
    settings = argparse.Namespace(calibration="platt", evaluation_batch_size=10)
    before = {
        "model": "fm",
        "test": deepfm_tf.metrics.binary_metrics(fresh, truth),
    }

    _, result = calibrating.calibrate(
        *(
            settings,
            None,
            {"valid": Part("valid"), "test": Part("test")},
            before,
        ),
        rows["test"],
    )

    assert "of fm does not lower the log loss of the test" in result["note"]
    assert f"\n{result['note']}\n" in capsys.readouterr().out


def test_too_few_of_a_class_are_told_before_training():
    calibrating.check_classes(Part("valid", 100, 10))

    for positives in (9, 91):
        with pytest.raises(ValueError, match="at least 10 .* Give more with"):
            calibrating.check_classes(Part("valid", 100, positives))
