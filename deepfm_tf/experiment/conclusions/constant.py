"""What guessing the average rate is worth: the row that models must beat."""

from __future__ import annotations

import numpy as np

import deepfm_tf

CONSTANT = "constant"
# Rows read at a time.
_BATCH_SIZE = 2**16


def base_rate(train: deepfm_tf.PreparedData) -> float:
    """The mean label of the training data, all of its negatives counted.

    Negatives that `negative_sampling` left out count as if they were there,
    and each row counts by its example weight.

    Args:
        train: the training data.
    """
    positives: float = train.num_positives
    negatives: float = train.num_rows - train.num_positives
    if train.schema.example_weight is not None:
        positives = negatives = 0.0
        for _, label, weight in train.dataset(_BATCH_SIZE).as_numpy_iterator():
            label = label[:, 0].astype(np.float64)
            positives += float(label @ weight)
            negatives += float((1 - label) @ weight)
    negatives /= train.negative_sampling
    return positives / (positives + negatives)


def constant_metrics(
    rate: float, mean_label: float, rows: int
) -> deepfm_tf.metrics.Metrics:
    """The metrics of one probability for every row.

    Args:
        rate: float. The probability.
        mean_label: float. Of the rows.
        rows: int. Their number.

    Example:

    >>> metrics = constant_metrics(0.25, 0.25, 80)
    >>> metrics["auc"], metrics["normalized_entropy"], metrics["rows"]
    (0.5, 1.0, 80)
    """
    # Equal rows are one row of their weight.
    metrics = deepfm_tf.metrics.binary_metrics(
        np.array([1.0, 0.0]),
        np.array([rate, rate]),
        np.array([mean_label, 1 - mean_label]),
    )
    return {**metrics, "rows": rows}
