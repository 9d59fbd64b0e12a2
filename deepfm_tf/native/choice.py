"""Whether our kernels or TensorFlow's operations update a table."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

import deepfm_tf.kernels as below_keras
from deepfm_tf.errors import UserError
from deepfm_tf.keras_internals import is_in_xla, is_watched
from deepfm_tf.native import cache
from deepfm_tf.native.library import library
from deepfm_tf.native.table_kernels import TableKernels

VARIABLE = "DEEPFM_TF_KERNELS"


def kernels_for(table: Any = None, *factors: Any) -> TableKernels | None:
    """The kernels to trace here and now; None for TensorFlow's operations.

    They are for CPUs, for variables of float32, of which each replica updates
    its copy, and not for what XLA compiles.

    Args:
        table: Keras or TensorFlow variable, the table. Defaults to `None`:
            for what concerns no table itself.
        *factors: tensors or None. What the kernels have no gradient of.
    """
    if _is_off() or library().operations is None or is_in_xla():
        return None
    if below_keras.has_gpu() or not _all_have_them(
        tf.distribute.get_strategy()
    ):
        return None
    if is_watched(*factors):
        return None
    if table is not None:
        value = below_keras.tf_variable(table)
        if (
            not isinstance(value, tf.Variable)
            or isinstance(value, tf.distribute.DistributedValues)
            or value.dtype != tf.float32
            or "GPU" in value.device
            or (value.shape.rank and value.shape[0] >= 2**31)  # rows are int32
        ):
            return None
    return TableKernels(library().operations)


def told(strategy: Any) -> str:
    """Which of the two a training under a strategy takes, in one line."""
    if _is_off():
        return f"Kernels: TensorFlow's ({VARIABLE}=off)"
    if below_keras.has_gpu():
        return "Kernels: TensorFlow's, because there is a GPU"
    if library().operations and not _all_have_them(strategy):
        return (
            "Kernels: TensorFlow's, because not all workers have the same of "
            "our own. To build them, on each host: deepfm-tf build-kernels"
        )
    why_not = library().why_not
    if not why_not:
        return "Kernels: our own"
    return (
        f"Kernels: TensorFlow's; of our own, {why_not}. To build them for "
        "faster training steps: deepfm-tf build-kernels"
    )


def kernels_key() -> str:
    """What was built, and for what; empty where none are taken here."""
    return "" if _is_off() or not library().operations else cache.key()


def _all_have_them(strategy: Any) -> bool:
    """Whether all replicas take them; a row's copies would drift apart else.

    Workers tell each other once, in `create_strategy`.
    """
    return strategy.num_replicas_in_sync == 1 or getattr(
        strategy,
        "has_kernels",
        isinstance(strategy, tf.distribute.MirroredStrategy),
    )


def _is_off() -> bool:
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "auto", "off"):
        raise UserError(
            f"The environment variable {VARIABLE} must be 'auto' or 'off'. "
            f"Received: {VARIABLE}={value}. Unset it to use the kernels where "
            "they are built."
        )
    return value == "off"
