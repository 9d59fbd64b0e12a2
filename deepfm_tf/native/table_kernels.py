"""The kernels, as functions of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deepfm_tf.keras_internals import note_read
from deepfm_tf.native.library import library

_LAYOUT = (
    *("first_rows", "fields", "numeric_rows", "has_missing"),
    *("dim", "first_order", "factored"),
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """What an optimizer does with a touched row; see `source/rules.h`.

    Args:
        name: str. `"adam"`, `"rowwise_adagrad"` or `"ftrl"`.
        rate: scalar tensor.
        constants: floats.
    """

    name: str
    rate: Any
    constants: Sequence[float]


class TableKernels:
    """What the kernels compute.

    Args:
        operations: what `tf.load_op_library` gave.
    """

    def __init__(self, operations: Any) -> None:
        self._operations = operations

    @staticmethod
    def can_merge(gradient: tf.IndexedSlices) -> bool:
        """Whether a gradient is one that `merge` takes."""
        values = gradient.values
        return bool(values.dtype == tf.float32 and values.shape.rank == 2)

    def merge(self, gradient: tf.IndexedSlices) -> tf.IndexedSlices:
        """The same gradient, each row of it named once.

        Gradients of a row are added up in the order in which they come, on
        any number of threads.
        """
        rows, sums = self._operations.deepfm_merge(
            rows=tf.cast(gradient.indices, "int32"), gradients=gradient.values
        )
        return tf.IndexedSlices(sums, rows, gradient.dense_shape)

    def update(
        self,
        table: tf.Variable,
        state: tf.Variable,
        gradient: tf.IndexedSlices,
        rule: Rule,
        shrink: Any = 1.0,
        penalty: Any = None,
    ) -> None:
        """Change the rows of a table and their state in place.

        Args:
            table, state: float32, as many rows each.
            gradient: names each row once.
            rule: for each row, after `shrink` and `penalty`.
            shrink: scalar. What its weights are multiplied by first.
            penalty: scalar or (1, columns). `batch_l2` times the number of
                the step, where the last column of the state counts the steps
                of the row.
        """
        counts = penalty is not None
        if counts:
            penalty = tf.broadcast_to(penalty, [1, table.shape[1]])
        self._operations.deepfm_update(
            table=table.handle,
            state=state.handle,
            rows=tf.cast(gradient.indices, "int32"),
            gradients=gradient.values,
            rate=rule.rate,
            shrink=shrink,
            penalty=penalty if counts else [],
            rule=rule.name,
            constants=[float(constant) for constant in rule.constants],
            counts=counts,
        )

    def update_dense(
        self,
        gradients: Sequence[Any],
        weights: Sequence[tf.Variable],
        m: Sequence[tf.Variable],
        v: Sequence[tf.Variable],
        rate: Any,
        constants: Sequence[float],
    ) -> None:
        """Change dense weights and their moments in place, by Adam's rule.

        Args:
            gradients: of all weights.
            weights, m, v: float32, none of them twice.
            rate: scalar. With the correction of the moments' start.
            constants: as of a `Rule` named `"adam"`.
        """
        self._operations.deepfm_update_dense(
            weights=[variable.handle for variable in weights],
            m=[variable.handle for variable in m],
            v=[variable.handle for variable in v],
            gradients=list(gradients),
            rate=rate,
            constants=[float(constant) for constant in constants],
        )

    def pool(
        self,
        table: tf.Variable,
        ids: Any,
        weights: Any,
        values: Any,
        **layout: Any,
    ) -> tuple[Any, ...]:
        """Look up, weigh and add up; with the products of all pairs.

        The gradient of the table names the rows that contribute, and no
        others.

        Args:
            table: (rows, columns), float32. It has `dim` columns, and one
                more if `first_order`.
            ids: (batch, num_ids) or None.
            weights: (batch, num_ids) or None.
            values: (batch, num_values) or None.
            **layout: see `Layout` in `source/layout.h`.

        Returns:
            (batch, flat columns), the vectors side by side; (batch, 1), or 0
            columns, the sum of the further column; (batch, dim), the sum of the
            products of all pairs of vectors; (num_rows, dim), the vectors of
            the numeric rows.
        """
        # What is not given has no elements.
        ids, weights, values = (
            tf.zeros((0, 0), dtype) if x is None else tf.cast(x, dtype)
            for x, dtype in (
                (ids, "int32"),
                (weights, "float32"),
                (values, "float32"),
            )
        )
        note_read(table)
        flat, linear, products, _, vectors = self._operations.deepfm_pool(
            table=table.handle,
            ids=ids,
            weights=weights,
            values=values,
            **layout,
        )
        return flat, linear, products, vectors


@tf.RegisterGradient("DeepfmPool")
def _pool_gradient(operation: Any, *upstream: Any) -> list[Any]:
    operations = library().operations
    table, ids, weights, values = operation.inputs
    flat, _, _, sums, vectors = operation.outputs
    d_flat, d_linear, d_products, _, d_vectors = upstream
    rows, gradients = operations.deepfm_pool_gradient(
        *(ids, weights, values, flat, sums, vectors),
        *(d_flat, d_linear, d_products, d_vectors),
        **{name: operation.get_attr(name) for name in _LAYOUT},
    )
    shape = tf.raw_ops.VariableShape(input=table, out_type=tf.int32)
    others: tuple[Any, ...] = (None, None)  # see `kernels_for`
    if not tf.executing_eagerly():
        others = tuple(map(operations.deepfm_no_gradient, (weights, values)))
    return [tf.IndexedSlices(gradients, rows, shape), None, *others]
