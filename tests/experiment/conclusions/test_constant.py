"""The base rate, and the metrics of predicting it for every row."""

import argparse

import numpy as np
import pytest
import sklearn.metrics

from deepfm_tf.experiment.conclusions.constant import (
    base_rate,
    constant_metrics,
)


class Train:
    """Stands for prepared training data of 4 rows, one of them positive."""

    num_rows, num_positives = 4, 1

    def __init__(self, negative_sampling=1.0, weight=None):
        self.negative_sampling, self.weight = negative_sampling, weight
        self.schema = argparse.Namespace(
            example_weight=None if weight is None else "importance"
        )

    def dataset(self, batch_size):
        return self

    def as_numpy_iterator(self):
        label = np.array([[1], [0], [0], [0]], np.float32)
        for half in (slice(0, 2), slice(2, 4)):
            yield {}, label[half], np.array(self.weight, np.float32)[half]


@pytest.mark.parametrize(
    ("train", "rate"),
    [
        (Train(), 1 / 4),
        (Train(negative_sampling=0.1), 1 / 31),  # of 30 negatives, 3 kept
        (Train(weight=[3, 1, 1, 4]), 3 / 9),
        (Train(0.5, weight=[3, 1, 1, 4]), 3 / 15),
    ],
)
def test_the_base_rate_is_that_of_all_data(train, rate):
    assert base_rate(train) == pytest.approx(rate, rel=1e-12)


def test_the_metrics_are_those_of_equal_rows():
    label = np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    expected = sklearn.metrics.log_loss(label, np.full(10, 0.3))
    best = sklearn.metrics.log_loss(label, np.full(10, 0.2))

    metrics = constant_metrics(0.3, 0.2, 10)

    assert metrics["auc"] == 0.5 and metrics["rows"] == 10
    assert metrics["log_loss"] == pytest.approx(expected)
    assert metrics["normalized_entropy"] == pytest.approx(expected / best)
    assert metrics["calibration_ratio"] == pytest.approx(1.5)
    assert metrics["expected_calibration_error"] == pytest.approx(0.1)


def test_of_one_class_only_the_log_loss_is_known():
    metrics = constant_metrics(0.25, 0.0, 7)

    assert metrics["log_loss"] == pytest.approx(-np.log(0.75))
    assert np.isnan([metrics["auc"], metrics["normalized_entropy"]]).all()
