"""From the rows of a table to one vector per field."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from deepfm_tf.kernels import compiled, detached


class RowPooling:
    """Weighs and adds up gathered rows; what `SharedEmbedding` computes.

    No state: layers of the same layout share one (`shared_pooling`).

    Arguments of all methods are called alike. `vectors`: the rows of all id
    columns in turn, then those of `numeric_rows`, (batch * num_ids + num_rows,
    columns). `ids`, `weights`: (batch, num_ids). `values`: (batch,
    num_values). Each of the last three may be `None`.

    Args:
        fields: Sequence of ints, ascending. The field of each id column.
        has_missing: Sequence of bools. Whether a numeric field has a row for
            missing values; these rows follow the rows of the values.
        embedding_dim: int. Columns beyond it are added up over the fields.
        factored: bool. Whether to give the fields a second time: those with
            ids side by side, then, in place of each numeric field's product
            `x v`, its `x` alone; and the `v` of all of them. A matrix product
            over these columns costs less (see `DensePyramid`).
    """

    def __init__(
        self,
        fields: Sequence[int],
        has_missing: Sequence[bool],
        embedding_dim: int,
        factored: bool = False,
    ) -> None:
        self.factored = factored
        self.embedding_dim = embedding_dim
        self.fields = tuple(fields)
        self.has_missing = tuple(has_missing)
        self._missing_rows = [i for i, has in enumerate(has_missing) if has]
        self.num_pooled = self.fields[-1] + 1 if self.fields else 0
        # `pool`, with one pass over memory forward and one back.
        self.fused_pool = detached(self._fused_pool)
        self._compiled_pool = compiled(self._pool_all)
        self._compiled_ids_gradient = compiled(self._ids_gradient)
        self._compiled_numeric_gradient = compiled(self._numeric_gradient)

    def pool(
        self, id_vectors: Any, numeric: Any, ids: Any, weights: Any, values: Any
    ) -> tuple[Any, ...]:
        """Embeddings (batch, num_fields, embedding_dim), and the rest's sum.

        `vectors` come in two parts: `id_vectors` (batch, num_ids, columns) and
        `numeric` (num_rows, columns). A tuple, with (batch, columns -
        embedding_dim) only if there are such columns, and with (batch,
        num_pooled * embedding_dim + num_rows) and (num_rows, embedding_dim)
        only if `factored`.
        """
        vectors = self.pool_columns(id_vectors, numeric, ids, weights, values)
        dim = self.embedding_dim
        outputs = [vectors[:, :, :dim]]
        if vectors.shape[-1] > dim:
            outputs.append(ops.sum(vectors[:, :, dim:], axis=1))
        if self.factored:
            columns = []
            if ids is not None:
                flat = vectors[:, : self.num_pooled, :dim]
                columns.append(ops.reshape(flat, (-1, self.num_pooled * dim)))
            if values is not None:
                columns.append(self._row_factors(values, vectors.dtype))
            num_rows = len(self.has_missing) + len(self._missing_rows)
            outputs += [
                ops.concatenate(columns, axis=1),
                ops.reshape(numeric[:, :dim], (num_rows, dim)),
            ]
        return tuple(outputs)

    def pool_columns(
        self,
        id_vectors: Any,
        numeric: Any,
        ids: Any,
        weights: Any,
        values: Any,
        assume_all_present: bool = False,
    ) -> Any:
        """(batch, num_fields, columns), all columns side by side.

        `assume_all_present` says that no id is negative and no weight given.
        """
        parts = []
        if ids is not None:
            if not assume_all_present:
                factors = _id_factors(ids, weights, id_vectors.dtype)
                # (batch, num_ids, columns)
                id_vectors = ops.multiply(id_vectors, factors)
            if len(self.fields) > self.num_pooled:
                # A 0/1 matrix product is as fast, but rounds to TF32 on a GPU.
                fields = ops.convert_to_tensor(self.fields, "int64")
                id_vectors = ops.transpose(id_vectors, (1, 0, 2))
                id_vectors = ops.segment_sum(
                    id_vectors, fields, self.num_pooled
                )
                id_vectors = ops.transpose(id_vectors, (1, 0, 2))
            parts.append(id_vectors)
        if values is not None:
            parts.append(self._pool_numeric(numeric, values))
        # (batch, num_fields, columns)
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)

    def _fused_pool(
        self, vectors: Any, ids: Any, weights: Any, values: Any
    ) -> Any:
        others = [x for x in (weights, values) if x is not None]

        @tf.custom_gradient
        def pool(vectors: Any, *others: Any) -> Any:
            def gradient(*upstream: Any) -> tuple[Any, ...]:
                numeric = None
                if values is not None:
                    numeric = self._compiled_numeric_gradient(values, *upstream)
                rows = numeric
                if ids is not None:
                    rows = self._compiled_ids_gradient(
                        ids, weights, numeric, *upstream
                    )
                # No model trains what its weights and values come from; TF
                # then drops these operations, and needs no fast ones.
                with tf.GradientTape() as tape:
                    tape.watch(others)
                    outputs = self._pool_all(vectors, ids, weights, values)
                return rows, *tape.gradient(
                    outputs,
                    list(others),
                    upstream,
                    unconnected_gradients="zero",
                )

            return self._compiled_pool(vectors, ids, weights, values), gradient

        return pool(vectors, *others)

    def _pool_all(
        self, vectors: Any, ids: Any, weights: Any, values: Any
    ) -> tuple[Any, ...]:
        num_ids = 0 if ids is None else tf.size(ids)
        shape = (-1, len(self.fields), vectors.shape[-1])
        id_vectors = (
            None if ids is None else ops.reshape(vectors[:num_ids], shape)
        )
        return self.pool(id_vectors, vectors[num_ids:], ids, weights, values)

    def _pool_numeric(self, numeric: Any, values: Any) -> Any:
        num_values = len(self.has_missing)
        # (batch, num_values, 1)
        present, values = _numeric_factors(values, numeric.dtype)
        # (batch, num_values, columns)
        vectors = ops.multiply(values, numeric[:num_values])
        if not any(self.has_missing):
            return vectors
        rows = iter(range(num_values, num_values + sum(self.has_missing)))
        zeros = ops.zeros_like(numeric[0])
        missing = ops.stack(
            [numeric[next(rows)] if has else zeros for has in self.has_missing]
        )
        return ops.add(vectors, ops.where(present, 0.0, missing))

    def _ids_gradient(
        self, ids: Any, weights: Any, numeric: Any, *upstream: Any
    ) -> Any:
        """Gradient of `vectors`; `numeric` is that of their last rows."""
        sums, flat, _ = self._split(upstream)
        id_vectors = _join(0, self.num_pooled, *sums)
        if flat is not None:
            shape = (-1, self.num_pooled, self.embedding_dim)
            flat = flat[:, : self.num_pooled * self.embedding_dim]
            id_vectors = ops.add(
                id_vectors, _pad(ops.reshape(flat, shape), id_vectors)
            )
        if len(self.fields) > self.num_pooled:
            id_vectors = ops.take(id_vectors, self.fields, axis=1)
        id_vectors = ops.multiply(
            id_vectors, _id_factors(ids, weights, id_vectors.dtype)
        )
        id_vectors = ops.reshape(id_vectors, (-1, id_vectors.shape[-1]))
        if numeric is None:
            return id_vectors
        return ops.concatenate([id_vectors, numeric], axis=0)

    def _numeric_gradient(self, values: Any, *upstream: Any) -> Any:
        sums, _, vectors = self._split(upstream)
        numeric = _join(self.num_pooled, None, *sums)
        present, values = _numeric_factors(values, numeric.dtype)
        missing = ops.sum(ops.where(present, 0.0, numeric), axis=0)
        gradient = ops.concatenate(
            [
                ops.sum(ops.multiply(values, numeric), axis=0),
                *(missing[row : row + 1] for row in self._missing_rows),
            ],
            axis=0,
        )
        if vectors is None:
            return gradient
        return ops.add(gradient, _pad(vectors, gradient))

    def _row_factors(self, values: Any, dtype: Any) -> Any:
        """(batch, num_rows): by what each row of a numeric field counts."""
        present, values = _numeric_factors(values, dtype)
        missing = ops.cast(ops.logical_not(present), dtype)
        return ops.concatenate(
            [
                values[:, :, 0],
                *(missing[:, row] for row in self._missing_rows),
            ],
            axis=1,
        )

    def _split(self, upstream: Sequence[Any]) -> tuple[Sequence[Any], Any, Any]:
        """Gradients of the sums, and of the two outputs that are factored."""
        if not self.factored:
            return upstream, None, None
        *sums, flat, rows = upstream
        return sums, flat, rows


@functools.lru_cache(maxsize=64)
def shared_pooling(*layout: Any) -> RowPooling:
    """The one `RowPooling` of these arguments: see `shared_rows`."""
    return RowPooling(*layout)


def _join(
    start: int, stop: int | None, embeddings: Any, rest: Any = None
) -> Any:
    """The gradients of what `pool` gives, for some fields, side by side."""
    embeddings = embeddings[:, start:stop]
    if rest is None:
        return embeddings
    shape = (*ops.shape(embeddings)[:2], rest.shape[-1])
    rest = ops.broadcast_to(ops.expand_dims(rest, 1), shape)
    return ops.concatenate([embeddings, rest], axis=2)


def _pad(vectors: Any, like: Any) -> Any:
    """`vectors` with zeros in further columns, as many as `like` has."""
    missing = like.shape[-1] - vectors.shape[-1]
    return ops.pad(vectors, [[0, 0]] * (len(like.shape) - 1) + [[0, missing]])


def _id_factors(ids: Any, weights: Any, dtype: Any) -> Any:
    """(batch, num_ids, 1); zero where the id is negative."""
    # A selection, not a product: the weight of a masked id may be NaN.
    present = ops.greater_equal(ids, 0)
    factors = ops.where(present, 1.0 if weights is None else weights, 0.0)
    return ops.expand_dims(ops.cast(factors, dtype), -1)


def _numeric_factors(values: Any, dtype: Any) -> tuple[Any, Any]:
    """Whether a value is finite, and the value or zero, each with an axis."""
    values = ops.expand_dims(values, -1)
    present = ops.isfinite(values)
    return present, ops.cast(ops.where(present, values, 0.0), dtype)
