"""What layers and optimizers need of TensorFlow below Keras."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def tf_variable(variable: Any) -> tf.Variable:
    """The TensorFlow variable behind a Keras one; any other is itself."""
    value = variable.value
    return variable if callable(value) else value  # tf.Variable's is a method


def local_value(variable: Any, device: str | None = None) -> tf.Variable:
    """The `tf.Variable` of the current replica behind a variable.

    A gather off it reads the rows it names. Off a distributed variable, or
    through `keras.ops.take`, it would read, and after a sparse update copy,
    the whole table at each step.

    Args:
        variable: Keras, distributed or plain TensorFlow variable.
        device: str. That of the replica. Defaults to `None`: of the replica
            that is running; the first one outside of all.
    """
    value = tf_variable(variable)
    if not isinstance(value, tf.distribute.DistributedValues):
        return value
    parts = value.distribute_strategy.experimental_local_results(value)
    replica = tf.distribute.get_replica_context()
    if device is None and tf.distribute.has_strategy() and replica is not None:
        # Counted over all workers, of which each has as many. `devices` would
        # be those of the first worker alone.
        place = tf.get_static_value(replica.replica_id_in_sync_group)
        return parts[int(place) % len(parts)]
    if device is None:
        return parts[0]
    return next(part for part in parts if part.device == device)


def has_equal_copies(variable: Any) -> bool:
    """Whether `local_value` is a variable's value on each replica.

    The others, of moving averages, are made one when they are read.
    """
    value = tf_variable(variable)
    return bool(
        value.synchronization != tf.VariableSynchronization.ON_READ
    ) or not isinstance(value, tf.distribute.DistributedValues)


def rows_between(variable: Any, start: Any, stop: Any) -> Any:
    """Rows that follow each other, of the `tf.Variable` of one replica.

    `variable[start:stop]` would copy the whole table first, once an optimizer
    has updated rows of it.
    """
    return tf.gather(variable, tf.range(start, stop))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors as one pass that XLA compiles, on a CPU.

    TensorFlow's CPU kernels make a pass over memory for each operation. On a
    GPU, whose kernels do not need it, `function` stays as it is.
    """
    fused = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors: Any) -> Any:
        return (function if has_gpu() else fused)(*tensors)

    return call


def detached(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors, with a custom gradient, in a graph of its own.

    TensorFlow keeps each custom gradient as long as the process lives, and
    with it the graph it was called in. Called within a training step, that
    would be the step's: all variables of the model would stay in memory.

    Args:
        function: takes and gives tensors (or None), and uses no variable.
    """
    apart: Callable[..., Any] = tf.function(function, autograph=False)
    return apart


def row_dtype(num_rows: int = 0) -> str:
    """The integer type for the rows of a table, and for ids and their masks.

    int32 is faster on a CPU; on a GPU TensorFlow computes int32 on the host.
    """
    return "int64" if has_gpu() or num_rows > 2**31 - 1 else "int32"


def has_gpu() -> bool:
    """Whether what is run or traced here is for a GPU.

    Where there is one, `tf.device` and strategies can choose the CPU all the
    same.
    """
    return (
        bool(tf.config.list_logical_devices("GPU"))
        and "GPU" in current_device()
    )


def current_device() -> str:
    """Where the step runs that is traced here; else, where operations run."""
    with tf.init_scope():
        return str(tf.zeros(()).device)


def on_cpu() -> Any:
    """A block that runs on the CPU, where there is a GPU too.

    A GPU rounds the factors of its matrix products to ten bits (TF32), which
    is too little to tell whether two ways to compute something agree.
    """
    return tf.device("CPU:0")
