"""Probabilities corrected after training, by data held out from it."""

from deepfm_tf.calibration.calibration import METHODS, Calibration
from deepfm_tf.calibration.fit import (
    ISOTONIC_CLASS_ROWS,
    ISOTONIC_ROWS,
    MIN_ROWS,
    fit_calibration,
)

__all__ = [
    "ISOTONIC_CLASS_ROWS",
    "ISOTONIC_ROWS",
    "METHODS",
    "MIN_ROWS",
    "Calibration",
    "fit_calibration",
]
