"""The shared table in 16 bits, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.calibration import Calibration
from deepfm_tf.errors import UserError
from deepfm_tf.metrics import log_loss
from deepfm_tf.models import CTRModel

TABLE_DTYPES = ("bfloat16", "float16")


def rounded_table(model: CTRModel, table_dtype: str) -> tf.Variable:
    """A copy of the model's table in fewer bits.

    Args:
        model: a trained model.
        table_dtype: one of `TABLE_DTYPES`.

    Raises:
        ValueError: a weight is too large for the type.
    """
    table = keras.ops.convert_to_tensor(model.embedding_layer.embeddings)
    rounded = tf.cast(table, table_dtype)
    if not tf.reduce_all(tf.math.is_finite(rounded)):
        raise UserError(
            f"Every weight of the table must fit into {table_dtype}, whose "
            f"largest number is {tf.as_dtype(table_dtype).max}. Received: "
            f"{np.abs(table).max()}. Use table_dtype='bfloat16'."
        )
    return tf.Variable(rounded, trainable=False, name="table")


def cost_of_rounding(
    exact: Callable[[Mapping[str, Any]], Any],
    rounded: Callable[[Mapping[str, Any]], Any],
    batches: Iterable[tuple[Any, ...]],
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """How far the probabilities move, and the log loss with them.

    Args:
        exact, rounded: packed inputs to (batch,) probabilities.
        batches: packed inputs, labels, (batch, 1) or None, and perhaps
            example weights, which the log loss is weighed by.
        calibration: what the probabilities go through. Optional.

    Returns:
        `rows`, `largest_difference` and `mean_difference` of the
        probabilities and, with labels, `log_loss` and `log_loss_change`.
    """
    parts: list[list[Array]] = [[], [], [], []]
    for packed, label, *weights in batches:
        parts[0].append(np.asarray(exact(packed)))
        parts[1].append(np.asarray(rounded(packed)))
        if label is not None:
            parts[2].append(np.asarray(label)[:, 0])
        parts[3] += [np.asarray(each).reshape(-1) for each in weights]
    before, after = (np.concatenate(p) for p in parts[:2])
    if calibration is not None:
        before, after = calibration(before), calibration(after)
    difference = np.abs(after.astype(np.float64) - before)
    cost: dict[str, Any] = {
        "rows": len(before),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }
    if parts[2]:
        label = np.concatenate(parts[2])
        weight = np.concatenate(parts[3]) if parts[3] else None
        cost["log_loss"] = log_loss(label, after, weight)
        cost["log_loss_change"] = cost["log_loss"] - log_loss(
            label, before, weight
        )
    return cost


def check_table_dtype(table_dtype: str | None, evaluation_data: Any) -> None:
    """Raise UserError for an unknown type, or data that nothing is asked of.

    Args:
        table_dtype, evaluation_data: of `export_saved_model`.
    """
    if table_dtype is not None and table_dtype not in TABLE_DTYPES:
        raise UserError(
            f"`table_dtype` must be one of {TABLE_DTYPES}, or None to leave "
            f"the table as it is. Received: table_dtype={table_dtype!r}."
        )
    if table_dtype is None and evaluation_data is not None:
        raise UserError(
            "`evaluation_data` measures the effect of `table_dtype`. Give "
            "both, or neither. Received: table_dtype=None."
        )
