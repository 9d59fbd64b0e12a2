"""A column of raw values to an input, read as training reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepfm_tf.serving.client_arrays import to_array
from deepfm_tf.serving.client_fields import ServedField
from deepfm_tf.serving.client_signature import TensorInfo


def to_input(
    name: str, values: Any, info: TensorInfo, field: ServedField | None = None
) -> np.ndarray:
    """A column as the array that its input wants, read as training reads it.

    Args:
        name: str. The column, for messages.
        values: as for `to_array`; lists of values, where the field has a
            separator.
        info: the input's dtype and shape.
        field: what the model tells of it, if it does.

    Raises:
        ValueError: a value or a shape that the input cannot take.

    Example:

    >>> field = ServedField("tags", "tags", separator="|")
    >>> info = TensorInfo("string", (None,))
    >>> to_input("tags", [["a", "b"], [], ["c"]], info, field).tolist()
    [b'a|b', b'', b'c']
    """
    if field is None:
        return to_array(name, values, info)
    if field.separator is not None:
        if info.is_context and _is_list(values) and len(values) != 1:
            values = [list(values)]  # The several values of the one row.
        elif getattr(values, "ndim", 1) > 1:
            values = list(values)
    return to_array(name, values, info, field.missing_values, field.separator)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))
