"""What a step must know of a table whose rows the workers share out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deepfm_tf.errors import UserError
from deepfm_tf.row_shards import ONLY_LAZY, is_sharded


def check_shardable(optimizer: Any, variables: Sequence[Any]) -> None:
    """Raise UserError for a lazy optimizer that reads more than its rows.

    Args:
        optimizer: LazyOptimizer.
        variables: what it is built for.
    """
    if not any(map(is_sharded, variables)):
        return
    for name, hint in (
        ("clipnorm", "Give `global_clipnorm`, the norm of all gradients."),
        ("use_ema", "It reads the whole table at each step."),
    ):
        if getattr(optimizer, name):
            raise UserError(
                f"`{name}` must not be given for a table whose rows are "
                f"distributed over workers. {hint} Received: "
                f"{name}={getattr(optimizer, name)}."
            )


def refuse_sharded(variables: Sequence[Any]) -> None:
    """Raise UserError where an optimizer that is not lazy is built for one.

    Args:
        variables: what it is built for.
    """
    if any(map(is_sharded, variables)):
        raise UserError(ONLY_LAZY)


def summed(
    replica: Any, gradients: Sequence[Any], are_sharded: Sequence[bool]
) -> list[Any]:
    """The sums over all replicas; of a sharded table, what there is already.

    Its gradient came to the worker that holds the row.

    Args:
        replica: the context of this replica.
        gradients: of this replica.
        are_sharded: whether each is of a sharded table.
    """
    kinds = list(zip(gradients, are_sharded, strict=True))
    others = replica.all_reduce(
        tf.distribute.ReduceOp.SUM, [g for g, is_own in kinds if not is_own]
    )
    remaining = iter(others)
    return [g if is_own else next(remaining) for g, is_own in kinds]


def clipped_together(
    replica: Any,
    gradients: Sequence[Any],
    are_sharded: Sequence[bool],
    norm: float,
) -> list[Any]:
    """Gradients scaled down to a common norm, that of all workers' rows.

    Args:
        replica: the context of this replica.
        gradients: the sums, dense.
        are_sharded: whether each is of a sharded table.
        norm: float.
    """
    squares: dict[bool, Any] = {True: 0.0, False: 0.0}
    for gradient, is_own in zip(gradients, are_sharded, strict=True):
        squares[is_own] += tf.reduce_sum(tf.square(gradient))
    total = squares[False] + replica.all_reduce(
        tf.distribute.ReduceOp.SUM, squares[True]
    )
    scale = norm / tf.maximum(tf.sqrt(total), norm)
    return [gradient * scale for gradient in gradients]
