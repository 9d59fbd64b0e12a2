"""The comparison of every signature with the model, before publishing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.calibration import Calibration
from deepfm_tf.explain import Explainer
from deepfm_tf.export.explain import check_terms
from deepfm_tf.export.fields import check_fields
from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.unseen import check_unseen
from deepfm_tf.export.warm_up import read_warm_up, replay
from deepfm_tf.vocabulary import Vocabulary

# How far the two may be apart: float32 sums in another order. A wrong id
# shows in the first digits.
_TOLERANCE = 1e-6
# What it may become where the model itself is less exact than that.
_LARGEST_TOLERANCE = 1e-2
# One other order of the sums tells the size of the rounding, not its bound:
# a graph of 24 fields with large weights was 8 times as far off.
_ORDERS = 32


Reference = Callable[[Mapping[str, Array]], Array]


def check(
    reference: Reference,
    requests: Iterable[Request],
    saved_model: Path,
    calibration: Calibration | None = None,
    explainer: Explainer | None = None,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Replay the warm-up requests of a SavedModel, and judge the answers.

    Args:
        reference: packed inputs to the probabilities that are expected.
        requests: those of the warm-up file, in its order.
        saved_model: the directory of the version.
        calibration: what the reference's probabilities go through to be what
            is served. Optional.
        explainer: what the signature `explain` is compared with.
        vocabulary: what the signature `unseen` is compared with.

    Raises:
        RuntimeError: a signature differs from the model.
    """
    loaded = tf.saved_model.load(str(saved_model))
    reference = _remembered(reference)
    for request, log in zip(requests, read_warm_up(saved_model), strict=True):
        outputs = replay(log, loaded)
        if request.signature == "fields":
            check_fields(loaded, outputs)
            continue
        if vocabulary is not None and request.signature == "unseen":
            check_unseen(vocabulary, request, outputs)
            continue
        served = _probability(outputs)
        compare(reference, request, served, calibration)
        if explainer is not None and request.signature == "explain":
            check_terms(explainer, request, outputs)


def _remembered(reference: Reference) -> Reference:
    """The same, computed once for all signatures that get the same rows."""
    known: dict[tuple[bytes, ...], Array] = {}

    def remembered(packed: Mapping[str, Array]) -> Array:
        key = tuple(packed[name].tobytes() for name in sorted(packed))
        if key not in known:
            known[key] = reference(packed)
        return known[key]

    return remembered


def probabilities(model: keras.Model, packed: Mapping[str, Array]) -> Array:
    """(rows,) float32."""
    probability = model(packed, training=False)["probability"]
    rows: Array = keras.ops.convert_to_numpy(probability)[:, 0]
    return rows


def _probability(outputs: Mapping[str, Array]) -> Array:
    """The clicks' column of whatever a signature answers."""
    if "scores" in outputs:
        return outputs["scores"][:, 1]
    if "probability" in outputs:
        return outputs["probability"]
    (probability,) = outputs.values()
    return probability


def compare(
    reference: Reference,
    request: Request,
    served: Any,
    calibration: Calibration | None = None,
) -> None:
    """Raise RuntimeError unless the probabilities are those expected."""
    rows = request.rows
    expected = reference(rows.packed)
    if _agree(served, expected, _TOLERANCE, calibration):
        return
    # As where large terms cancel.
    rounding = np.abs(_one_by_one(reference, rows) - expected).max()
    rounding = min(_ORDERS * rounding, _LARGEST_TOLERANCE)
    if _agree(served, expected, rounding, calibration):
        return
    if calibration is not None:
        expected = calibration(expected)
    difference = np.abs(served - expected)
    row = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
    values = {name: column[row] for name, column in rows.raw.items()}
    raise RuntimeError(
        "The SavedModel must give the model's probabilities; nothing was "
        f"published. Received from the signature '{request.signature}': "
        f"{served[row]} where the model gives {expected[row]}, for the row "
        f"{values}. Please report this."
    )


def _agree(
    served: Array,
    expected: Array,
    tolerance: float,
    calibration: Calibration | None,
) -> bool:
    """Whether all are within the tolerance; NaN never is.

    A calibration may be steep (isotonic ones jump): what it makes of a
    probability within the tolerance is right. It never falls.
    """
    if calibration is None:
        return bool(np.abs(served - expected).max() <= tolerance)
    low, high = (
        calibration(np.clip(expected.astype(np.float64) + shift, 0, 1)) + shift
        for shift in (-tolerance, tolerance)
    )
    return bool(((low <= served) & (served <= high)).all())


def _one_by_one(reference: Reference, rows: Rows) -> Array:
    num_rows = len(next(iter(rows.packed.values())))
    return np.concatenate(
        [
            reference({k: v[i : i + 1] for k, v in rows.packed.items()})
            for i in range(num_rows)
        ]
    )
