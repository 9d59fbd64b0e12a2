"""A column of raw values to an input, read as training reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.raw_values import cell_text
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.client.signature import TensorInfo
from deepfm_tf.serving.served_fields import ServedField


def to_input(
    name: str,
    values: Any,
    info: TensorInfo,
    field: ServedField | None = None,
    has_fields: bool = False,
) -> Array:
    """A column as the array that its input wants, read as training reads it.

    Args:
        name: str. The column, for messages.
        values: as for `to_array`; lists of values, where the field has a
            separator.
        info: the input's dtype and shape.
        field: what the model tells of it, if it does.
        has_fields: bool. Whether the model tells its fields: then infinities
            are refused, also in a matrix of several fields.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> field = ServedField("tags", "tags", separator="|")
    >>> info = TensorInfo("string", (None,))
    >>> to_input("tags", [["a", "b"], [], ["c"]], info, field).tolist()
    [b'a|b', b'', b'c']
    """
    if field is None:
        array = to_array(name, values, info)
    else:
        array = _to_field(name, values, info, field)
    if array.dtype.kind == "f" and (has_fields or field is not None):
        _check_finite(name, values, array)
    return array


def _to_field(
    name: str, values: Any, info: TensorInfo, field: ServedField
) -> Array:
    if field.separator is not None:
        if info.is_context and _is_list(values) and len(values) != 1:
            values = [list(values)]  # The several values of the one row.
        elif getattr(values, "ndim", 1) > 1:
            values = list(values)
    return to_array(name, values, info, field.missing_values, field.separator)


def _check_finite(name: str, values: Any, array: Array) -> None:
    """Training refuses infinities, and what is too large for a float32."""
    is_infinite = np.isinf(array)
    if not is_infinite.any():
        return
    place = int(np.argmax(is_infinite))
    shown, row = str(array.flat[place]), place
    if array.ndim > 1:
        row = place // (array.size // len(array))
    else:
        # As it was given: a context input may have one bare value.
        value = values if np.ndim(values) == 0 else values[row : row + 1]
        shown = cell_text(to_arrow(np.atleast_1d(value), name)[0])
    raise UserError(
        f"Column '{name}' must hold finite numbers. Received: {shown!r} in "
        f"row {row} (counted from 0)."
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))
