"""Models on an evaluation set: exact metrics, and a table to compare by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from deepfm_tf.metrics import auc, log_loss


def predict_with_labels(
    model: keras.Model, dataset: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a data set, row by row, dropout off.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)` in a fixed order.

    Returns:
        `(label, probability)`, each (rows,) float32.

    Raises:
        ValueError: the data set changes its order from pass to pass.
    """
    label = _labels(dataset)
    probability = model.predict(dataset, verbose=0)["probability"]
    # Labels and probabilities come from two passes: see that they agree.
    if not np.array_equal(label, _labels(dataset)):
        raise ValueError(
            "The data set to evaluate on must keep its order, but two passes "
            "differ. Make it with shuffle=False."
        )
    return label, probability[:, 0]


def evaluate(model: keras.Model, dataset: Any) -> dict[str, Any]:
    """Exact metrics over a whole data set.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)` in a fixed order.

    Returns:
        `{"auc": float, "log_loss": float, "rows": int}`; AUC is NaN where the
        labels are all the same.

    Example:

    >>> import deepfm_tf
    >>> field = deepfm_tf.CategoricalField("site", min_count=1)
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> schema = deepfm_tf.Schema((field,), "click")
    >>> vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    >>> model = deepfm_tf.LogisticRegression(vocabulary.schema)  # all zeros
    >>> evaluate(model, deepfm_tf.dataset_from_memory(data, vocabulary))
    {'auc': 0.5, 'log_loss': 0.6931471805599453, 'rows': 3}
    """
    return binary_metrics(*predict_with_labels(model, dataset))


def binary_metrics(
    label: np.ndarray, probability: np.ndarray
) -> dict[str, Any]:
    """What `evaluate` returns, of labels and probabilities from anywhere.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).

    Example:

    >>> binary_metrics(np.array([0, 1]), np.array([0.5, 0.5]))
    {'auc': 0.5, 'log_loss': 0.6931471805599453, 'rows': 2}
    """
    return {
        "auc": auc(label, probability),
        "log_loss": log_loss(label, probability),
        "rows": len(label),
    }


def comparison_table(
    header: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> str:
    """A text table; columns are keys of `rows`, numbers to the right.

    Args:
        header: the keys, in order; they are the column titles too.
        rows: one mapping a line. An absent value is left blank.

    Example:

    >>> print(comparison_table(["model", "AUC"], [{"model": "fm", "AUC": 0.7}]))
    model     AUC
    -----  ------
    fm     0.7000
    """
    cells = [[_cell(row.get(name)) for name in header] for row in rows]
    numeric = [
        any(isinstance(row.get(name), (int, float)) for row in rows)
        for name in header
    ]
    widths = [
        max(map(len, column)) for column in zip(header, *cells, strict=True)
    ]
    lines = [list(header), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if np.isnan(value):
            return "undefined"
        return f"{value:.4f}" if abs(value) < 1 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _labels(dataset: Any) -> np.ndarray:
    labels = [label.numpy()[:, 0] for _, label in dataset]
    if not labels:
        raise ValueError("The data set to evaluate on has no rows.")
    return np.concatenate(labels)
