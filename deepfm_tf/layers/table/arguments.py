"""What the arguments of a shared table must be."""

from __future__ import annotations

from collections.abc import Sequence

from deepfm_tf.errors import UserError
from deepfm_tf.layers.table.id_range import are_integers


def check_table_arguments(
    vocabulary_sizes: Sequence[int],
    embedding_dim: int,
    columns_per_field: Sequence[int] | None,
    field_tables: Sequence[int] | None,
) -> None:
    """Raise a UserError unless they are as `SharedEmbedding` says."""
    if not are_integers(vocabulary_sizes, minimum=1):
        raise UserError(
            "`vocabulary_sizes` must be a non-empty sequence of positive "
            f"integers. Received: vocabulary_sizes={vocabulary_sizes}."
        )
    if sum(vocabulary_sizes) >= 2**31:
        raise UserError(
            "`vocabulary_sizes` must add up to less than 2^31, as ids "
            f"have 32 bits. Received: {sum(vocabulary_sizes)} rows."
        )
    if not are_integers([embedding_dim], minimum=1):
        raise UserError(
            "`embedding_dim` must be a positive integer. "
            f"Received: embedding_dim={embedding_dim}."
        )
    last = len(vocabulary_sizes) - 1
    num_fields = len(field_tables or vocabulary_sizes)
    if field_tables is not None and not (
        are_integers(field_tables, minimum=0) and max(field_tables) <= last
    ):
        raise UserError(
            f"`field_tables` must be integers from 0 to {last}, indices of "
            f"`vocabulary_sizes`. Received: field_tables={field_tables}."
        )
    if columns_per_field is not None and not (
        are_integers(columns_per_field, minimum=1)
        and len(columns_per_field) == num_fields
    ):
        raise UserError(
            "`columns_per_field` must be one positive integer for each of "
            f"{num_fields} fields. "
            f"Received: columns_per_field={columns_per_field}."
        )
