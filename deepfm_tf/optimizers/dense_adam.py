"""Keras's Adam on all dense weights together, where they are on one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.keras_internals import adam_moments
from deepfm_tf.kernels import tf_variable
from deepfm_tf.native.choice import kernels_for
from deepfm_tf.optimizers.frozen_rows import frozen_rows

# A gradient and its variable.
Pair = tuple[Any, Any]


def update_dense(
    optimizer: keras.optimizers.Optimizer, pairs: Sequence[Pair], rate: Any
) -> list[Pair]:
    """Update dense weights by Keras's Adam, if that is the optimizer's rule.

    Keras computes the step size anew for each variable, and updates each by a
    dozen operations: most of what a small model does on a small batch. Here
    the step size is computed once, and our kernels update all variables in
    one operation; without them it takes about half as many as Keras. The
    results are Keras's, bit for bit.

    Args:
        optimizer: any.
        pairs: gradients and variables.
        rate: scalar. The learning rate.

    Returns:
        The pairs that remain to be updated: all of them if the rule is another
        one or if there are several replicas.
    """
    if (
        not isinstance(optimizer, keras.optimizers.Adam)
        or type(optimizer).update_step is not keras.optimizers.Adam.update_step
        or optimizer.amsgrad
        or tf.distribute.get_strategy().num_replicas_in_sync > 1
    ):
        return list(pairs)
    chosen, others = [], []
    for gradient, variable in pairs:
        moments = adam_moments(optimizer, variable)
        weights = tf_variable(variable)
        if (
            moments is None
            or frozen_rows(variable)
            or isinstance(gradient, tf.IndexedSlices)
            or isinstance(weights, tf.distribute.DistributedValues)
            or weights.dtype != tf.float32
        ):
            others.append((gradient, variable))
        else:
            chosen.append(
                (
                    tf.cast(gradient, "float32"),
                    weights,
                    *map(tf_variable, moments),
                )
            )
    if not chosen:
        return others
    step_size = _step_size(optimizer, tf.cast(rate, "float32"))
    constants = (1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon)
    kernels = kernels_for()
    if kernels and all(kernels_for(weights) for _, weights, _, _ in chosen):
        gradients, weights, m, v = zip(*chosen, strict=True)
        kernels.update_dense(gradients, weights, m, v, step_size, constants)
        return others
    for gradient, weights, m, v in chosen:
        _update(gradient, weights, m, v, step_size, constants)
    return others


def _step_size(optimizer: Any, rate: Any) -> Any:
    """The learning rate times what corrects the moments' start."""
    step = tf.cast(optimizer.iterations + 1, rate.dtype)
    powers = [
        tf.cast(beta, rate.dtype) ** step
        for beta in (optimizer.beta_1, optimizer.beta_2)
    ]
    # In this order, Keras's, for its last bits.
    return rate * tf.sqrt(1 - powers[1]) / (1 - powers[0])


def _update(
    gradient: Any, weights: Any, m: Any, v: Any, step_size: Any, constants: Any
) -> None:
    of_m, of_v, epsilon = constants
    old_m, old_v = tf.convert_to_tensor(m), tf.convert_to_tensor(v)
    new_m = old_m + (gradient - old_m) * of_m
    new_v = old_v + (tf.square(gradient) - old_v) * of_v
    m.assign(new_m)
    v.assign(new_v)
    weights.assign_sub(new_m * step_size / (tf.sqrt(new_v) + epsilon))
