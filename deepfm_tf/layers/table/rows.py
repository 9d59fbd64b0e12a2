"""From ids to the rows of a table."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import UserTypeError
from deepfm_tf.kernels import compiled, row_dtype


class TableRows:
    """Where id columns and numeric fields find their rows; no state.

    Args:
        id_rows: tuple of ints. For each id column, the row of its id 0.
        value_rows: tuple of ints. For each numeric field, that of its values.
        missing: tuple of ints. The numeric fields, by position, that have a
            row for missing values: the one after that of their values.
        num_rows: int. Rows of the table.
    """

    def __init__(
        self,
        id_rows: tuple[int, ...],
        value_rows: tuple[int, ...],
        missing: tuple[int, ...],
        num_rows: int,
    ) -> None:
        self.numeric = [*value_rows, *(value_rows[i] + 1 for i in missing)]
        self.contributing = compiled(self._contributing)
        self.id_rows = id_rows
        self.value_rows = value_rows
        self._missing = missing
        self._num_rows = num_rows

    def of_ids(self, ids: Any, assume_all_present: bool = False) -> Any:
        """(batch, num_ids); the block's first where the id is negative.

        `assume_all_present` says that no id is.
        """
        ids = self.cast(ids)
        if not assume_all_present:
            ids = ops.maximum(ids, 0)
        # `+`: the `BiasAdd` that `ops.add` makes of this has no kernel for
        # integers on a GPU and would run on the host.
        return ids + ops.convert_to_tensor(self.id_rows, ids.dtype)

    def cast(self, ids: Any) -> Any:
        """Ids in the type of rows, so that their masks run where they do.

        Raises:
            UserTypeError: they are not integers.
        """
        if not keras.backend.is_int_dtype(ids.dtype):
            raise UserTypeError(
                f"`ids` must be integers. Received: {ids.dtype!r}."
            )
        return ops.cast(ids, row_dtype(self._num_rows))

    def _contributing(self, ids: Any, values: Any) -> Any:
        """The rows of all id columns in turn, then those of the numeric fields.

        What contributes nothing names a row that something else touches: an
        optimizer that updates the rows of the gradient leaves all others. All
        are -1 if nothing at all contributes, as of a replica that the last
        batch left no example for.
        """
        rows, touched = [], []
        if ids is not None:
            rows.append(ops.reshape(self.of_ids(ids), (-1,)))
            touched.append(ops.reshape(ops.greater_equal(ids, 0), (-1,)))
        if values is not None:
            dtype = row_dtype(self._num_rows)
            rows.append(ops.convert_to_tensor(self.numeric, dtype))
            present = ops.isfinite(values)
            absent = ops.any(ops.logical_not(present), axis=0)
            touched.append(ops.any(present, axis=0))
            touched += [absent[i : i + 1] for i in self._missing]
        rows = ops.concatenate(rows, axis=0)
        touched = ops.concatenate(touched, axis=0)
        any_row = ops.max(ops.where(touched, rows, -1))
        return ops.where(touched, rows, any_row)


@functools.lru_cache(maxsize=64)
def shared_rows(*layout: Any) -> TableRows:
    """The one `TableRows` of these arguments.

    XLA compiles what a process has once of it: half a second less for each
    further training of the same fields.
    """
    return TableRows(*layout)
