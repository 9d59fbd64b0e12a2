"""The one table of a model, as its schema says, and what reads it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from deepfm_tf.errors import UserError
from deepfm_tf.layers import AttentiveEmbedding, SharedEmbedding
from deepfm_tf.models.packed_inputs import check_schema
from deepfm_tf.schema import Schema


def table_arguments(schema: Schema) -> dict[str, Any]:
    """How the schema's fields lie in a shared table (for the layers)."""
    check_schema(schema)
    return {
        "vocabulary_sizes": schema.vocabulary_sizes,
        "columns_per_field": schema.columns_per_field,
        "field_tables": schema.field_tables,
    }


def shared_embedding(
    schema: Schema,
    embedding_dim: int,
    embeddings_initializer: Any = "glorot_uniform",
    embeddings_regularizer: Any = None,
    factored: bool = False,
) -> SharedEmbedding:
    """The one table that all terms of a model read, first order included.

    Its last column is the first-order weight: one read of a row costs less
    than one of each of two tables (see tests/benchmarks/README.md). Fields of
    `pooling="attention"` attend to their candidates in it.

    Args:
        schema: Schema of a fitted vocabulary.
        embedding_dim: int. Length k of the latent vectors.
        embeddings_initializer, embeddings_regularizer, factored: see
            `SharedEmbedding`.
    """
    kind: Callable[..., SharedEmbedding] = SharedEmbedding
    if attention := attention_pairs(schema):
        kind = functools.partial(AttentiveEmbedding, attention=attention)
    return kind(
        embedding_dim=embedding_dim,
        embeddings_initializer=embeddings_initializer,
        embeddings_regularizer=embeddings_regularizer,
        first_order=True,
        factored=factored,
        dtype="float32",
        name="shared_embedding",
        **table_arguments(schema),
    )


def attention_pairs(schema: Schema) -> list[tuple[int, int]]:
    """Positions of the fields that attend, each with its candidate's."""
    names = [field.name for field in schema.embedded_fields]
    return [
        (place, names.index(field.candidate))
        for place, field in enumerate(schema.embedded_fields)
        if field.candidate is not None
    ]


def freeze_fields(schema: Schema, layer: Any, names: Sequence[str]) -> None:
    """Let the vectors of some fields not learn, those of all others learn.

    Args:
        schema: the model's.
        layer: its `SharedEmbedding`; None, or one without vectors, has
            nothing to freeze.
        names: of the fields.

    Raises:
        ValueError: a field is not there, or has no vectors by value.
    """
    for name in names:
        if schema.field(name).is_numeric:
            raise UserError(
                "`freeze_embeddings` must name fields with ids. Received: "
                f"'{name}', a numeric field.",
                argument="freeze_embeddings",
            )
    if layer is None or not layer.first_order:
        if names:
            raise UserError(
                "`freeze_embeddings` must be empty for a model that has no "
                f"vectors. Received: {', '.join(names)}.",
                argument="freeze_embeddings",
            )
        return
    owners = [field.name for field in schema.table_fields]
    layer.freeze(
        [owners.index(schema.owner(schema.field(n)).name) for n in names]
    )


def embedding_config(layer: SharedEmbedding) -> dict[str, Any]:
    """What a model's config says of how its table starts and is kept small."""
    config = layer.get_config()
    return {
        name: config[name]
        for name in ("embeddings_initializer", "embeddings_regularizer")
    }


def flatten_fields(columns: Any) -> Any:
    """(batch, fields, columns) to (batch, fields * columns)."""
    return ops.reshape(columns, (-1, columns.shape[1] * columns.shape[2]))


def factor_blocks(schema: Schema) -> list[int]:
    """`factor_blocks` of a pyramid over a factored `SharedEmbedding`."""
    check_schema(schema)
    missing = [
        number
        for number, field in enumerate(schema.numeric_fields)
        if (schema.owner(field).vocabulary_size or 0) > 1
    ]
    return [*range(len(schema.numeric_fields)), *missing]
