"""A calibration from labels and probabilities, by scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.calibration.calibration import Calibration, check_method
from deepfm_tf.errors import MissingPackageError, UserError
from deepfm_tf.extras import install_hint
from deepfm_tf.metrics import binary_metrics
from deepfm_tf.metrics.logits import logit
from deepfm_tf.metrics.rows import check_probability, check_rows

# Of each class. The rate of fewer is known to no better than a third.
MIN_ROWS = 10
# Fewer than these, and the steps of an isotonic regression are mostly chance.
ISOTONIC_ROWS = 1000
ISOTONIC_CLASS_ROWS = 100


def fit_calibration(
    label: Array,
    probability: Array,
    method: str = "platt",
    weight: Array | None = None,
) -> Calibration:
    """The calibration of least log loss (isotonic: of least squares).

    `"temperature"` has one parameter, and leaves a probability of one half
    where it is: it mends a model that is too sure, not one that promises too
    much throughout. `"platt"` has two and mends both; the first choice for
    clicks. `"isotonic"` takes any rising shape, and learns the chance of
    its rows, if they are few: below 1,000, or 100 of a class, it warns. The
    first two keep the order of all rows, hence the AUC; isotonic makes ties,
    which may cost a little of it.

    scikit-learn's isotonic regression says exactly 0 below the lowest click
    and 1 above the highest row without one, and one row that differs then
    costs any log loss. Here such an end of n rows gets `1 / (n + 2)` or `1 -
    1 / (n + 2)` (Laplace's rule of succession), or the value of the stretch
    next to it, where that is nearer to the end.

    Fit on rows that the model did not learn from. Rows that chose the epoch
    are somewhat better off than new ones, so that what is fitted on them
    corrects a little less than it should.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,). The model's, taken as float32.
        method: `"temperature"`, `"platt"` or `"isotonic"`. Defaults to
            `"platt"`.
        weight: (rows,), at least 0; of 0, a row does not count as one.
            Defaults to 1 each.

    Returns:
        A `Calibration`.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: fewer than 10 rows of a class, NaN, probabilities that
            are all the same, that rank clicks perfectly, or no better than
            chance.

    Example:

    >>> random = np.random.default_rng(0)
    >>> truth = random.normal(-2, 1, 10_000)
    >>> label = random.random(10_000) < 1 / (1 + np.exp(-truth))
    >>> boasting = 1 / (1 + np.exp(-(2 * truth + 1)))  # true: 0.5 z - 0.5
    >>> calibration = fit_calibration(label, boasting)
    >>> print(calibration.describe())
    logit x 0.4752 - 0.6201
    """
    check_method(method)
    label, probability, weight = check_rows(label, probability, weight)
    check_probability(probability)
    # Thresholds must stay apart in the graph, which knows float32 alone.
    probability = probability.astype(np.float32).astype(np.float64)
    if weight is not None:
        counts = weight > 0
        label, probability, weight = (
            part[counts] for part in (label, probability, weight)
        )
    _check_classes(label)
    _check_overlap(label, probability)
    if method == "isotonic":
        _warn_of_few(label)
    fit = _isotonic if method == "isotonic" else _logistic
    calibration = Calibration(
        method, fit(label, probability, weight, method), len(label)
    )
    before, after = (
        binary_metrics(label, p, weight)
        for p in (probability, calibration(probability))
    )
    return Calibration(
        method, calibration.parameters, len(label), before, after
    )


def _logistic(
    label: Array,
    probability: Array,
    weight: Array | None,
    method: str,
) -> dict[str, float]:
    """Both are a logistic regression on the logit, one without intercept."""
    linear_model, _ = _scikit_learn()
    regression = linear_model.LogisticRegression(
        C=np.inf,  # no penalty
        fit_intercept=method == "platt",
        solver="newton-cholesky",
        tol=1e-8,
    )
    regression.fit(logit(probability)[:, None], label, weight)
    slope = float(regression.coef_[0, 0])
    if slope <= 0:
        raise _no_better_than_chance()
    if method == "temperature":
        return {"temperature": 1 / slope}
    return {"slope": slope, "intercept": float(regression.intercept_[0])}


def _isotonic(
    label: Array,
    probability: Array,
    weight: Array | None,
    method: str,
) -> dict[str, list[float]]:
    _, isotonic = _scikit_learn()
    regression = isotonic.IsotonicRegression(out_of_bounds="clip")
    regression.fit(probability, label, weight)
    x, y = regression.X_thresholds_, regression.y_thresholds_
    if len(np.unique(y)) < 2:
        raise _no_better_than_chance()
    none, all_ = y <= 0, y >= 1 - 1e-12
    inside = y[~none & ~all_]
    low, high = 0.0, 1.0
    if none.any():
        rows = int((probability <= x[none].max()).sum())
        low = min(1 / (rows + 2), inside.min())
    if all_.any():
        rows = int((probability >= x[all_].min()).sum())
        high = max(1 - 1 / (rows + 2), inside.max())
    return {
        "probability": x.tolist(),
        "calibrated": np.clip(y, low, high).tolist(),
    }


def _check_classes(label: Array) -> None:
    positives = int(label.sum())
    negatives = len(label) - positives
    if min(positives, negatives) < MIN_ROWS:
        raise UserError(
            f"A calibration needs at least {MIN_ROWS} rows with a click and "
            f"{MIN_ROWS} without. Received: {positives} and {negatives}. Give "
            "more rows, held out from training."
        )


def _warn_of_few(label: Array) -> None:
    rarer = int(min(label.sum(), len(label) - label.sum()))
    if len(label) < ISOTONIC_ROWS or rarer < ISOTONIC_CLASS_ROWS:
        warnings.warn(
            f"An isotonic calibration needs {ISOTONIC_ROWS:,} rows, "
            f"{ISOTONIC_CLASS_ROWS} of each class, or it overfits. Received: "
            f"{len(label):,} rows, {rarer} of the rarer class. Give more "
            "rows, or use platt or temperature.",
            stacklevel=3,
        )


def _check_overlap(label: Array, probability: Array) -> None:
    lowest = probability[label == 1].min()
    highest = probability[label == 0].max()
    if probability.min() == probability.max():
        raise UserError(
            "`probability` must differ between rows: a calibration cannot be "
            f"fitted on one value. Received: {lowest:.6g} in each of "
            f"{len(label)} rows. Check that they are the model's "
            "predictions, and that the model was trained."
        )
    if highest <= lowest:
        raise UserError(
            "The probabilities must not separate the classes perfectly, or a "
            "calibration would make all of them 0 or 1. Received: up to "
            f"{highest:.6g} without, from {lowest:.6g} with. Give more rows, "
            "and check that no field contains the label."
        )


def _no_better_than_chance() -> ValueError:
    return ValueError(
        "Rows with higher probabilities must have more clicks, but these "
        "rows do not. Check the order of `label` and `probability`, or train "
        "the model longer."
    )


def _scikit_learn() -> tuple[Any, Any]:
    try:
        from sklearn import isotonic, linear_model
    except ImportError as error:
        raise MissingPackageError(
            install_hint("Fitting a calibration needs", "calibration")
        ) from error
    return linear_model, isotonic
