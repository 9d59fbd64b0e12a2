"""The comparison of every signature with the model, before publishing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.warm_up import read_warm_up, replay

# How far the two may be apart: float32 sums in another order. A wrong id
# shows in the first digits.
_TOLERANCE = 1e-6


def check(
    model: keras.Model, requests: Iterable[Request], saved_model: Path
) -> None:
    """Replay the warm-up requests of a SavedModel, and judge the answers.

    Args:
        model: gives the probabilities that are expected.
        requests: those of the warm-up file, in its order.
        saved_model: the directory of the version.

    Raises:
        RuntimeError: a signature differs from the model.
    """
    loaded = tf.saved_model.load(str(saved_model))
    for request, log in zip(requests, read_warm_up(saved_model), strict=True):
        outputs = replay(log, loaded)
        _compare(model, request, _probability(outputs))


def probabilities(
    model: keras.Model, packed: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(rows,) float32."""
    probability = model(packed, training=False)["probability"]
    return keras.ops.convert_to_numpy(probability)[:, 0]


def _probability(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The clicks' column of whatever a signature answers."""
    if "scores" in outputs:
        return outputs["scores"][:, 1]
    (probability,) = outputs.values()
    return probability


def _compare(model: keras.Model, request: Request, served: Any) -> None:
    rows = request.rows
    expected = probabilities(model, rows.packed)
    difference = np.abs(served - expected)
    if difference.max() <= _TOLERANCE:
        return
    # Where large terms cancel, the model itself is less exact than that.
    rounding = np.abs(_one_by_one(model, rows) - expected).max()
    if difference.max() <= 4 * rounding:
        return
    row = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
    values = {name: column[row] for name, column in rows.raw.items()}
    raise RuntimeError(
        "The SavedModel must give the model's probabilities; nothing was "
        f"published. Received from the signature '{request.signature}': "
        f"{served[row]} where the model gives {expected[row]}, for the row "
        f"{values}. Please report this."
    )


def _one_by_one(model: keras.Model, rows: Rows) -> np.ndarray:
    num_rows = len(next(iter(rows.packed.values())))
    return np.concatenate(
        [
            probabilities(
                model, {k: v[i : i + 1] for k, v in rows.packed.items()}
            )
            for i in range(num_rows)
        ]
    )
