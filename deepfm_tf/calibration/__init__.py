"""Probabilities corrected after training, by data held out from it."""

from deepfm_tf.calibration.calibration import METHODS, Calibration
from deepfm_tf.calibration.fit import MIN_ROWS, fit_calibration

__all__ = ["METHODS", "MIN_ROWS", "Calibration", "fit_calibration"]
