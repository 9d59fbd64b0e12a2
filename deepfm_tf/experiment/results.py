"""What is found out about a trained model besides its metrics."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import deepfm_tf
from deepfm_tf.experiment.data import evaluation_dataset

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

# Test rows, about, that the strengths of the pairs are means over.
_STRENGTH_ROWS = 200_000


def insight(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    data: dict[str, deepfm_tf.PreparedData],
    rows: tuple[Any, ...],
    with_strengths: bool = True,
) -> dict[str, Any]:
    """Reliability, slices and strengths on the test data, as plain data.

    Args:
        settings: the options.
        model: a trained model.
        data: by part.
        rows: label, probability and weight of the test data.
        with_strengths: bool. Of the pairs of fields, if the model has them.
    """
    found: dict[str, Any] = {"reliability": reliability(*rows)}
    if settings.slice_by:
        with warnings.catch_warnings():
            # Preparing the data has told how they differ from training's.
            warnings.filterwarnings("ignore", "The values of the data set")
            found["slices"] = deepfm_tf.evaluate(
                model,
                evaluation_dataset(
                    data["test"], settings.evaluation_batch_size
                ),
                slice_by=settings.slice_by,
                group_by=data["test"].groups,
                vocabulary=data["train"].vocabulary,
            )["slices"]
    if model.has_pairs and with_strengths:
        batches = -(-_STRENGTH_ROWS // settings.evaluation_batch_size)
        strengths = deepfm_tf.explain.field_strengths(
            model,
            evaluation_dataset(
                data["test"], settings.evaluation_batch_size
            ).take(batches),
        )
        found["strengths"] = {
            "fields": list(strengths.fields),
            "first_order": strengths.first_order.tolist(),
            "pairs": strengths.pairs.tolist(),
            "rows": strengths.num_rows,
            "ranking": strengths.ranking()[:50],
            "has_pyramid": model.has_deep,
        }
    return found


def reliability(
    label: Any, probability: Any, weight: Any = None
) -> dict[str, list[float]]:
    """The parts of the reliability curve, by name."""
    # Fewer than 50 rows a point, and chance is all that the plot shows.
    num_bins = min(20, max(5, len(label) // 50))
    curve = deepfm_tf.metrics.reliability_curve(
        label, probability, weight, num_bins
    )
    return {name: part.tolist() for name, part in curve._asdict().items()}


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
        model, evaluation_dataset(data["valid"], settings.evaluation_batch_size)
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
