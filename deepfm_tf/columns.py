"""Columns of raw values, as they are counted and encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array

# Field name -> its column: text with nulls where missing, or float32 with NaN.
Columns = Mapping[str, Union[pa.Array, Array]]  # noqa: UP007


def take_rows(columns: Columns, rows: Array) -> dict[str, Any]:
    """Some of the rows."""
    return {
        name: column[rows]
        if isinstance(column, np.ndarray)
        else column.take(pa.array(rows))
        for name, column in columns.items()
    }
