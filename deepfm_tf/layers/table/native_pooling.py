"""What `RowPooling` computes, by our kernels."""

from __future__ import annotations

from typing import Any

from keras import ops

from deepfm_tf.kernels import local_value
from deepfm_tf.layers.table.known_products import note_products
from deepfm_tf.layers.table.row_pooling import RowPooling
from deepfm_tf.layers.table.rows import TableRows
from deepfm_tf.native.choice import kernels_for
from deepfm_tf.row_shards import is_sharded


def pool_natively(
    rows: TableRows,
    pooling: RowPooling,
    embeddings: Any,
    ids: Any,
    weights: Any,
    values: Any,
) -> tuple[Any, ...]:
    """What `pooling.pool` gives, off the table itself; nothing if not by us.

    Args:
        rows, pooling: of a layer.
        embeddings: (rows, columns), the layer's variable.
        ids, weights, values: see `RowPooling`.
    """
    if is_sharded(embeddings):
        return ()
    table = local_value(embeddings)
    kernels = kernels_for(table, weights, values)
    if kernels is None:
        return ()
    dim, num_pooled = pooling.embedding_dim, pooling.num_pooled
    num_values = len(pooling.has_missing)
    first_order = table.shape[1] > dim
    flat, linear, products, vectors = kernels.pool(
        *(table, ids, weights, values),
        first_rows=rows.id_rows,
        fields=pooling.fields,
        numeric_rows=rows.value_rows,
        has_missing=tuple(map(int, pooling.has_missing)),
        dim=dim,
        first_order=first_order,
        factored=pooling.factored,
    )
    embeddings = flat
    if pooling.factored:
        # Where only the interaction of pairs asks for them, they are left out.
        embeddings = flat[:, : num_pooled * dim]
        if num_values:
            numeric = pooling.pool_columns(None, vectors, None, None, values)
            numeric = ops.reshape(numeric, (-1, num_values * dim))
            embeddings = ops.concatenate([embeddings, numeric], axis=1)
    # (batch, num_fields, embedding_dim)
    embeddings = ops.reshape(embeddings, (-1, num_pooled + num_values, dim))
    note_products(embeddings, products)
    outputs = [embeddings, linear] if first_order else [embeddings]
    return *outputs, *((flat, vectors) if pooling.factored else ())
