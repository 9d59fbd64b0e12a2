"""Ids that would read the rows of another field."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from deepfm_tf.errors import UserError


def check_ids(
    ids: Any,
    fields: Sequence[int],
    sizes: Sequence[int],
    names: Sequence[str] | None = None,
) -> None:
    """Raise UserError if an id is at or above the size of its block.

    Args:
        ids: (batch, num_ids) of integers.
        fields: the field of each id column.
        sizes: rows of the block that each id column reads.
        names: of all fields. Defaults to their numbers.

    Example:

    >>> check_ids([[1, 6], [0, 7]], [0, 1], [5, 7])
    Traceback (most recent call last):
    deepfm_tf.errors.UserError: Field 1 has id 7 in example 1, but its...
    """
    ids = np.asarray(ids)
    beyond = ids >= np.asarray(sizes)
    if not beyond.any():
        return
    example, column = np.argwhere(beyond)[0]
    field, size = fields[column], sizes[column]
    name = f"'{names[field]}'" if names else str(field)
    raise UserError(
        f"Field {name} has id {ids[example, column]} in example {example}, "
        f"but its block has {size} rows; ids run from 0 to {size - 1}, and a "
        "larger one reads the rows of the next field. Map unseen values to 0 "
        "(OOV).",
        argument="ids",
    )


def are_integers(values: Any, minimum: int) -> bool:
    """Whether `values` is a non-empty sequence of integers >= `minimum`."""
    if not isinstance(values, Sequence) or len(values) == 0:
        return False
    return all(isinstance(v, Integral) and int(v) >= minimum for v in values)
