"""The calibration of a trained model, and what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deepfm_tf
from deepfm_tf.experiment.results import reliability

if TYPE_CHECKING:
    from deepfm_tf.experiment.settings import Settings


def check_classes(valid: deepfm_tf.PreparedData) -> None:
    """Raise UserError now for what could not be fitted after training."""
    positives = valid.num_positives
    negatives = valid.num_rows - positives
    least = deepfm_tf.calibration.MIN_ROWS
    if min(positives, negatives) < least:
        raise deepfm_tf.UserError(
            f"--calibration needs at least {least} validation rows of each "
            f"class. Received: {positives} with a click, {negatives} without. "
            "Give more with --valid."
        )


def calibrate(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    data: dict[str, deepfm_tf.PreparedData],
    result: dict[str, Any],
    rows: tuple[Any, ...],
) -> tuple[deepfm_tf.calibration.Calibration, dict[str, Any]]:
    """Fit on the validation data, measure on the test data, say what changes.

    Args:
        settings: the options; `calibration` is given.
        model: a trained model.
        data: by part.
        result: what `experiment` found out about the model.
        rows: label, probability and weight of the test data.

    Returns:
        The calibration; and for the report its parts, the metrics `test` and
        the `reliability` that it leads to, and `note`, a sentence if the test
        log loss is no better with it.
    """
    valid = deepfm_tf.evaluation.predict_with_weights(
        model, data["valid"].dataset(settings.batch_size)
    )
    calibration = deepfm_tf.calibration.fit_calibration(
        valid[0], valid[1], str(settings.calibration), valid[2]
    )
    label, probability, weight = rows
    rows = label, calibration(probability), weight
    after = deepfm_tf.metrics.binary_metrics(*rows, groups=data["test"].groups)
    changes = "; ".join(
        f"{title} {text}"
        for title, text in deepfm_tf.report.changes(
            result["test"], after
        ).items()
    )
    note = None
    if after["log_loss"] >= result["test"]["log_loss"]:
        note = (
            f"The calibration of {result['model']} does not lower the log loss "
            "of the test data: the model may be better without it."
        )
    print(
        f"Calibration ({calibration.method}) on {calibration.rows:,} "
        "validation rows, which also chose the epoch: "
        f"{calibration.describe()}\n"
        f"Test: {changes}"
    )
    if note is not None:
        print(note)
    return calibration, {
        **calibration.to_dict(),
        "test": after,
        "reliability": reliability(*rows),
        "note": note,
    }
