"""What every metric asks of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError


class NotANumberError(UserError):
    """Some probability is NaN: the model that predicts it has diverged."""


def check_rows(
    label: Array,
    probability: Array,
    weight: Array | None = None,
    require_positive: bool = True,
) -> tuple[Array, Array, Array | None]:
    """Labels, probabilities and weights as (rows,) float64, checked.

    Args:
        label, probability, weight: one value for each row.
        require_positive: bool. Whether some weight must be above 0.

    Raises:
        NotANumberError: a probability is NaN.
        ValueError: lengths differ, there are no rows, a label is neither 0
            nor 1, or a weight is negative or not finite.
    """
    label = _numbers("label", label)
    probability = _numbers("probability", probability)
    if len(label) != len(probability) or not len(label):
        raise UserError(
            "`label` and `probability` must have one length, at least 1. "
            f"Received: {len(label)} and {len(probability)}."
        )
    wrong = label[(label != 0) & (label != 1)]
    if len(wrong):
        raise UserError(
            f"`label` must hold 0 and 1 only. Received: {wrong[0]}."
        )
    num_nan = int(np.isnan(probability).sum())
    if num_nan:
        raise NotANumberError(
            f"`probability` is NaN in {num_nan} of {len(probability)} rows. "
            "The model has diverged: train with a smaller learning rate."
        )
    return (
        label,
        probability,
        check_weight(weight, len(label), require_positive),
    )


def check_weight(
    weight: Array | None, num_rows: int, require_positive: bool
) -> Array | None:
    """(rows,) float64, or None if all rows count alike."""
    if weight is None:
        return None
    weight = _numbers("weight", weight)
    if len(weight) != num_rows:
        raise UserError(
            f"`weight` must have one value for each of the {num_rows} rows. "
            f"Received: {len(weight)} values."
        )
    if not np.isfinite(weight).all() or weight.min() < 0:
        raise UserError(
            "`weight` must be finite and at least 0. Received: values from "
            f"{weight.min()} to {weight.max()}."
        )
    if require_positive and not weight.any():
        raise UserError(
            "`weight` must be above 0 for some row. Received: 0 for each of "
            f"the {num_rows} rows."
        )
    return weight


def check_probability(probability: Array) -> None:
    """Refuse what is no probability, such as logits."""
    low, high = probability.min(), probability.max()
    if low < 0 or high > 1:
        raise UserError(
            "`probability` must lie between 0 and 1. Received: values from "
            f"{low} to {high}. Logits become probabilities by a sigmoid."
        )


def check_groups(groups: Array, num_rows: int) -> Array:
    """(rows,) numbers from 0 of the group of each row, in no special order.

    Nobody knows that two rows without a group belong together, so each of
    them is a group of its own.

    Args:
        groups: (rows,) of numbers, text or other values. None, NaN, NaT, NA
            and the empty text are no group.
        num_rows: int.
    """
    groups = np.asarray(groups)
    if groups.shape != (num_rows,):
        raise UserError(
            f"`groups` must have the shape ({num_rows},), one value for each "
            f"row. Received: shape {groups.shape}."
        )
    if np.issubdtype(groups.dtype, np.integer):
        low = groups.min()
        # Ids need no sorting to be numbers already.
        if int(groups.max()) - int(low) < 4 * num_rows:
            codes: Array = (groups - low).astype(np.int64)
            return codes
    numbers, is_missing = _numbered(groups)
    alone = int(is_missing.sum())
    numbers[is_missing] = numbers.max(initial=0) + 1 + np.arange(alone)
    return numbers


def num_without_group(groups: Array) -> int:
    """Rows that `check_groups` gives a group of their own."""
    return int(_numbered(np.asarray(groups))[1].sum())


def _numbered(groups: Array) -> tuple[Array, Array]:
    """Numbers of groups, and which rows have none."""
    is_missing: Array
    if groups.dtype.kind in "biu":
        is_missing = np.zeros(len(groups), dtype=bool)
    elif groups.dtype.kind == "f":
        is_missing = np.isnan(groups)
    elif groups.dtype.kind in "mM":
        is_missing = np.isnat(groups)
    else:
        # Values of several types cannot be sorted, but hashed.
        known: dict[Any, int] = {}
        numbers = np.fromiter(
            (known.setdefault(value, len(known)) for value in groups.tolist()),
            dtype=np.int64,
            count=len(groups),
        )
        absent = np.array([_is_missing(value) for value in known], dtype=bool)
        return numbers, absent[numbers]
    return np.unique(groups, return_inverse=True)[1].reshape(-1), is_missing


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value
    # Those of Python and pandas, whose comparison may raise.
    return str(value) in ("None", "nan", "NaT", "<NA>")


def check_confidence(confidence: float) -> None:
    """Refuse 95 where 0.95 is meant."""
    if not 0 < confidence < 1:
        raise UserError(
            "`confidence` must lie between 0 and 1, such as 0.95. Received: "
            f"confidence={confidence}."
        )


def _numbers(name: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UserTypeError(
            f"`{name}` must hold one number for each row. Received: "
            f"{type(values).__name__}.",
            argument=name,
        ) from error
