"""Optimizers whose steps do not depend on how a batch is divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from deepfm_tf.keras_internals import StepHooks, merged
from deepfm_tf.kernels import compiled, has_gpu, local_value, tf_variable
from deepfm_tf.native.choice import kernels_for
from deepfm_tf.optimizers.dense_adam import update_dense
from deepfm_tf.optimizers.frozen_rows import frozen_rows, keeping_frozen
from deepfm_tf.optimizers.merged_shares import merge_shares
from deepfm_tf.optimizers.sharded_tables import (
    clipped_together,
    refuse_sharded,
    summed,
)
from deepfm_tf.row_shards import is_sharded


class MergedGradients(StepHooks):
    """Adds up all gradients of a row before anything is made of them.

    The gradient of an embedding table names a row once for each time that it
    occurs, on each replica. Keras's optimizers square every one of these terms
    by itself and clip those of one replica by themselves, so that their steps
    depend on the number of replicas. Mixed into one of them, this class adds
    up the gradients of equal rows on each replica, then those of the replicas,
    and only then clips: the step is the one of the dense gradient.

    XLA cannot compile the search for equal rows: where there is a GPU, give
    `compile` the argument `jit_compile=False`, or Keras tries it.
    """

    def build(self, variables: list[Any]) -> None:
        """Make the variables of the rule. Called by Keras."""
        self._check_tables(variables)
        super().build(variables)

    def begin(self, variables: Sequence[Any]) -> None:
        """Note which gradients of this step are of sharded tables."""
        self._are_sharded = tuple(map(is_sharded, variables))
        # Our kernels number rows by int32.
        self._are_small = [max(v.shape, default=0) < 2**31 for v in variables]

    def clip(self, grads: Sequence[Any]) -> list[Any]:
        """Add up equal rows and the replicas, and clip the sums."""
        # Before they are exchanged: each replica tells of a row once. Those of
        # a sharded table have been exchanged.
        grads = [
            gradient if is_own else merge_duplicates(gradient, by_kernels)
            for gradient, is_own, by_kernels in zip(
                grads, self._are_sharded, self._are_small, strict=True
            )
        ]
        # Keras adds up the replicas after clipping; clipping is not linear.
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            grads = summed(replica, grads, self._are_sharded)
            grads = [
                merge_shares(gradient, replica.num_replicas_in_sync)
                if has_gpu() and isinstance(gradient, tf.IndexedSlices)
                else merge_duplicates(gradient, by_kernels, add_rows)
                for gradient, by_kernels in zip(
                    grads, self._are_small, strict=True
                )
            ]
        values = [getattr(gradient, "values", gradient) for gradient in grads]
        if self.global_clipnorm and any(self._are_sharded):
            clipped = clipped_together(
                replica, values, self._are_sharded, self.global_clipnorm
            )
        else:
            clipped = super().clip(values)
        return [
            tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
            if isinstance(gradient, tf.IndexedSlices)
            else values
            for gradient, values in zip(grads, clipped, strict=True)
        ]

    def update(
        self, grads: Sequence[Any], variables: Sequence[Any], rate: Any
    ) -> None:
        """As in Keras, but for the sum over the replicas, which is taken."""

        pairs = list(zip(grads, variables, strict=True))
        for gradient, variable in pairs:
            if is_sharded(variable):  # here alone
                self._step_of(variable)(local_value(variable), gradient, rate)
        others = [pair for pair in pairs if not is_sharded(pair[1])]

        def update_all(strategy: Any, grads: Sequence[Any], rate: Any) -> None:
            pairs = [
                (gradient, variable)
                for gradient, (_, variable) in zip(grads, others, strict=True)
            ]
            for gradient, variable in update_dense(self, pairs, rate):
                strategy.extended.update(
                    tf_variable(variable),
                    self._step_of(variable),
                    args=(gradient, rate),
                    group=False,
                )

        merged(update_all, [gradient for gradient, _ in others], rate)

    def _check_tables(self, variables: Sequence[Any]) -> None:
        refuse_sharded(variables)

    def _step_of(self, variable: Any) -> Callable[[Any, Any, Any], None]:
        """What updates a variable's part on one replica by its gradient."""

        def step(part: Any, gradient: Any, rate: Any) -> None:
            self.update_step(gradient, part, rate)

        if frozen_rows(variable):
            return keeping_frozen(self, variable, step)
        return step

    def decay(self, variables: Sequence[Any]) -> None:
        """Apply weight decay, of tables with frozen rows in their step."""
        super().decay([v for v in variables if not frozen_rows(v)])


def add_rows(values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Sums of the rows of equal position, as many as there are rows."""
    return tf.math.unsorted_segment_sum(values, positions, tf.shape(values)[0])


# One pass for the rows of a batch, of which there are always as many.
_add_rows_of_batch = compiled(add_rows)


def merge_duplicates(
    gradient: Any,
    by_kernels: bool = True,
    add: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = _add_rows_of_batch,
) -> Any:
    """The same gradient, each row of it named once.

    Args:
        gradient: dense ones stay as they are.
        by_kernels: whether our kernels may do it, where there are any.
        add: what adds up rows where they do not. Defaults to what XLA
            compiles; it would compile anew where the number of rows changes
            from step to step, for which `add_rows` is.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    kernels = kernels_for() if by_kernels else None
    if kernels is not None and kernels.can_merge(gradient):
        return kernels.merge(gradient)
    rows, positions = tf.unique(gradient.indices)
    # XLA wants the number of sums beforehand: as many as there are gradients.
    values = add(gradient.values, positions)[: tf.size(rows)]
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
