"""The built kernels, loaded into this process."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.native import cache


@dataclasses.dataclass(frozen=True)
class Library:
    """What came of loading the kernels.

    Args:
        operations: what `tf.load_op_library` gave; None if there are none.
        why_not: str. Why there are none, to be said once.
    """

    operations: Any = None
    why_not: str = ""


@functools.cache
def library() -> Library:
    """The kernels that were built for here, loaded once a process.

    Nothing raises: without them a training is slower, not another.
    """
    path = cache.built()
    if path is None:
        return Library(why_not="none are built")
    return load(path)


def load(path: Path) -> Library:
    """Load a library, unless it is not what its name says."""
    try:
        # Half a library would end the process while it is loaded.
        if cache.file_name(path.read_bytes()) != path.name:
            return Library(why_not=f"{path} is damaged")
        operations = tf.load_op_library(str(path))
        if not adds_up(operations):
            return Library(why_not=f"{path} gives wrong results")
    except (OSError, AttributeError, tf.errors.OpError) as error:
        line = (str(error).splitlines() or [""])[0]
        return Library(why_not=f"{path} cannot be loaded ({line})")
    return Library(operations)


def adds_up(operations: Any) -> bool:
    """Whether the kernels add up a few rows as they should."""
    # A training asks first while it is traced.
    with tf.init_scope(), tf.device("CPU:0"):
        rows, sums = operations.deepfm_merge(
            rows=tf.constant([7, 2, 7]), gradients=[[1.0], [2.0], [3.0]]
        )
    found = dict(zip(rows.numpy().tolist(), np.ravel(sums), strict=True))
    return found == {7: 4.0, 2: 2.0}
