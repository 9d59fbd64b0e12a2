"""Metrics of more rows than memory holds."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.metrics.likelihood import entropy, row_losses
from deepfm_tf.metrics.logits import LARGEST_LOGIT, logit
from deepfm_tf.metrics.reliability import (
    NUM_BINS,
    ReliabilityCurve,
    curve_of_runs,
)
from deepfm_tf.metrics.results import StreamMetrics
from deepfm_tf.metrics.rows import check_confidence, check_rows

# Logits of the probabilities that the log loss tells apart.


class StreamingMetrics:
    """Metrics that are added up batch by batch, in 15 MB whatever the rows.

    Log loss, normalized entropy, calibration and the sums of the reliability
    curve are exact. The AUC is that of the logits rounded to one of
    `num_bins` equal steps from -16 to 16, where pairs within a step count
    half; how far it may be off follows from their number and is part of the
    result. Equal probabilities alone in their step cost nothing.

    Intervals come from the variances of the rows' influence (DeLong's for
    the AUC), which add up too; they agree with the bootstrap's.

    Args:
        num_bins: int. Steps of the logits. The default, 2^18, keeps the AUC
            within 1e-4 of the exact one unless all logits lie closer
            together than about 0.2, and usually within 1e-6.

    Example:

    >>> metrics = StreamingMetrics()
    >>> metrics.update(np.array([0, 1]), np.array([0.1, 0.4]))
    >>> metrics.update(np.array([0, 1]), np.array([0.4, 0.8]))
    >>> result = metrics.result()
    >>> result["auc"], result["auc_error"], result["rows"]
    (0.875, 0.0, 4)
    """

    def __init__(self, num_bins: int = 2**18) -> None:
        if num_bins < 2:
            raise UserError(
                "`num_bins` must be an integer of at least 2. Received: "
                f"num_bins={num_bins}."
            )
        self.num_bins = num_bins
        self._rows = 0
        # By class, then by bin: sums of weights, and of their squares.
        self._mass = np.zeros(2 * num_bins)
        self._squares = np.zeros(2 * num_bins)
        self._probability = np.zeros(num_bins)
        self._lowest = np.full(num_bins, np.inf)
        self._highest = np.full(num_bins, -np.inf)
        # Sums of w z and of w^2 z z', z = (1, loss, label, probability).
        self._first = np.zeros(4)
        self._second = np.zeros((4, 4))

    def update(
        self,
        label: Array,
        probability: Array,
        weight: Array | None = None,
    ) -> None:
        """Add rows.

        Args:
            label: (rows,) or (rows, 1) of 0 and 1.
            probability: as many probabilities.
            weight: as many weights, at least 0. Defaults to 1 each.
        """
        label, probability, weight = check_rows(
            label, probability, weight, require_positive=False
        )
        loss = row_losses(label, probability)
        example_weight = np.ones(len(label)) if weight is None else weight
        bins = self._bins(probability)
        np.add.at(
            self._mass, bins + self.num_bins * (label > 0), example_weight
        )
        np.add.at(
            self._squares, bins + self.num_bins * (label > 0), example_weight**2
        )
        np.add.at(self._probability, bins, example_weight * probability)
        np.minimum.at(self._lowest, bins, probability)
        np.maximum.at(self._highest, bins, probability)
        rows = np.stack([np.ones(len(label)), loss, label, probability])
        rows *= example_weight
        self._first += rows.sum(axis=1)
        self._second += rows @ rows.T
        self._rows += len(label)

    def merge(self, other: StreamingMetrics) -> None:
        """Add the rows of another one, from another process, say."""
        if other.num_bins != self.num_bins:
            raise UserError(
                "Merged metrics must have the same `num_bins`. Received: "
                f"{self.num_bins} and {other.num_bins}."
            )
        self._mass += other._mass
        self._squares += other._squares
        self._probability += other._probability
        np.minimum(self._lowest, other._lowest, out=self._lowest)
        np.maximum(self._highest, other._highest, out=self._highest)
        self._first += other._first
        self._second += other._second
        self._rows += other._rows

    def result(self, confidence: float = 0.95) -> StreamMetrics:
        """The metrics of all rows so far.

        Args:
            confidence: float. Of the intervals.

        Returns:
            The StreamMetrics: exact but for the AUC.
        """
        check_confidence(confidence)
        self._check_rows()
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        _, loss, mean_label, mean_probability = self._first / self._first[0]
        area, auc_error, auc_variance = self._auc()
        base = float(entropy(mean_label))
        nan = float("nan")
        calibration = mean_probability / mean_label if mean_label else nan
        curve = self.reliability_curve()
        # Gradients in the means of (loss, label, probability).
        slope = math.log((1 - mean_label) / mean_label) if base > 0 else nan
        gradients = {
            "log_loss": (1, 0, 0),
            "normalized_entropy": (1 / base, -loss * slope / base**2, 0),
            "calibration_ratio": (
                0,
                -calibration / mean_label if mean_label else nan,
                1 / mean_label if mean_label else nan,
            ),
            "mean_label": (0, 1, 0),
        }
        values = {
            "auc": area,
            "log_loss": float(loss),
            "normalized_entropy": float(loss / base),
            "calibration_ratio": float(calibration),
            "mean_label": float(mean_label),
        }
        errors = {"auc": math.sqrt(auc_variance)}
        covariance = self._covariance()
        for name, gradient in gradients.items():
            variance = np.array(gradient) @ covariance @ np.array(gradient)
            errors[name] = math.sqrt(max(variance, 0.0))
        return {
            "auc": values["auc"],
            "log_loss": values["log_loss"],
            "normalized_entropy": values["normalized_entropy"],
            "calibration_ratio": values["calibration_ratio"],
            "mean_label": values["mean_label"],
            "expected_calibration_error": curve.expected_calibration_error,
            "rows": self._rows,
            "auc_error": auc_error,
            "intervals": {
                name: (value - z * errors[name], value + z * errors[name])
                for name, value in values.items()
            },
        }

    def reliability_curve(self, num_bins: int = NUM_BINS) -> ReliabilityCurve:
        """As the function of that name, bins cut between steps of logits."""
        self._check_rows()
        negative, positive = self._mass.reshape(2, -1)
        mass = negative + positive
        used = mass > 0
        return curve_of_runs(
            mass[used], positive[used], self._probability[used], num_bins
        )

    def _bins(self, probability: Array) -> Array:
        steps = (logit(probability) + LARGEST_LOGIT) * (
            self.num_bins / (2 * LARGEST_LOGIT)
        )
        bins: Array = np.clip(steps.astype(np.int64), 0, self.num_bins - 1)
        return bins

    def _auc(self) -> tuple[float, float, float]:
        """The AUC, the bound of its error, and its variance."""
        negative, positive = self._mass.reshape(2, -1)
        totals = negative.sum(), positive.sum()
        if not all(totals):
            return float("nan"), float("nan"), float("nan")
        wins = (np.cumsum(negative) - negative / 2) / totals[0]
        losses = 1 - (np.cumsum(positive) - positive / 2) / totals[1]
        area = float(positive @ wins / totals[1])
        mixed = self._lowest < self._highest
        unsure = negative[mixed] @ positive[mixed]
        negatives, positives = self._squares.reshape(2, -1)
        variance = positives @ (wins - area) ** 2 / totals[1] ** 2
        variance += negatives @ (losses - area) ** 2 / totals[0] ** 2
        return area, float(unsure / totals[0] / totals[1] / 2), float(variance)

    def _covariance(self) -> Array:
        """(3, 3): of the means of loss, label and probability."""
        total = self._first[0]
        means = self._first[1:] / total
        square, cross = self._second[0, 0], self._second[0, 1:]
        centred = (
            self._second[1:, 1:]
            - np.outer(means, cross)
            - np.outer(cross, means)
            + square * np.outer(means, means)
        )
        covariance: Array = centred / total**2
        return covariance

    def _check_rows(self) -> None:
        if not self._first[0]:
            raise UserError(
                "There must be rows of a weight above 0. Received: "
                f"{self._rows} rows. Call `update` first."
            )
