"""What is asked of ids and weights that a user looked up."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.schema import Schema


def check_example_weight(
    weight: Array | None, num_rows: int, schema: Schema
) -> None:
    """Raise UserError unless there are weights if, and only if, wanted.

    Args:
        weight: (rows,) or None.
        num_rows: int.
        schema: Schema.
    """
    if (weight is None) != (schema.example_weight is None):
        raise UserError(
            "`weight` must be given if, and only if, the schema has an "
            f"`example_weight`. Received: {schema.example_weight=}."
        )
    if weight is None:
        return
    if (
        weight.shape != (num_rows,)
        or not (np.isfinite(weight) & (weight >= 0)).all()
    ):
        raise UserError(
            f"`weight` must hold {num_rows} finite numbers of at least 0. "
            f"Received: {weight[:5]} of shape {weight.shape}."
        )


def check_ids(ids: Array, schema: Schema) -> None:
    """Raise UserError for an id that its field does not have.

    Args:
        ids: (rows, id columns), of any type.
        schema: a Schema whose fields have a `vocabulary_size`.
    """
    if not np.issubdtype(ids.dtype, np.integer):
        raise UserTypeError(f"`ids` must be integers. Received: {ids.dtype}.")
    layout = PackedLayout(schema.id_fields)
    for field in schema.id_fields:
        size = schema.owner(field).vocabulary_size or 0
        column = ids[:, layout.columns(field.name)["ids"]]
        wrong = column[(column >= size) | (column < -1)]
        if len(wrong):
            raise UserError(
                f"Field '{field.name}' has id {wrong[0]} but "
                f"vocabulary_size={size}; ids run from 0 to {size - 1}, and "
                "-1 contributes nothing. Map unseen values to 0 (OOV)."
            )
