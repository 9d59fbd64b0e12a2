"""Numbers scaled for a model, and back."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array


def scaled(x: Array, scaling: str, mean: np.float32, std: np.float32) -> Array:
    """Numbers (float32) as the model takes them.

    Args:
        x: float32 of any shape.
        scaling: see `NumericField`.
        mean, std: what `"standardize"` scales by.
    """
    if scaling == "standardize":
        return np.asarray((x - mean) / std)
    if scaling == "log":
        return np.asarray(np.sign(x) * np.log1p(np.abs(x)))
    return x


def unscaled(numbers: Array, scaling: str, mean: float, std: float) -> Array:
    """The numbers (float64), without the rounding errors of float32.

    Args:
        numbers: float32 of any shape.
        scaling: see `NumericField`.
        mean, std: what `"standardize"` scaled by.
    """
    y = np.asarray(numbers, dtype=np.float32).astype(np.float64)
    if scaling == "none":
        return y
    if scaling == "log":
        x = np.sign(y) * np.expm1(np.abs(y))
        error = np.abs(y) * (1 + np.abs(x))
    else:
        x = y * std + mean
        error = abs(mean) + np.abs(x)
    # A power of ten above what float32 may be off by: 2.9999999 is 3.
    error = np.maximum(4 * np.finfo(np.float32).eps * error, 1e-30)
    digits = np.floor(-np.log10(error))
    # A tenth is no float: whole powers of ten alone are exact.
    unit = 10.0 ** np.abs(digits)
    return np.where(
        digits < 0, np.round(x / unit) * unit, np.round(x * unit) / unit
    )
