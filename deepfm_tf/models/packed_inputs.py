"""The inputs of a model, and what its table takes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from deepfm_tf.errors import UserTypeError
from deepfm_tf.kernels import row_dtype
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.schema import Schema

_DTYPES = {"ids": "int32", "weights": "float32", "values": "float32"}


def packed_inputs(schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's inputs, and what the embedding layers take of them.

    Args:
        schema: the Schema of a fitted vocabulary.

    Returns:
        The dict of Keras inputs; and the call arguments of `SharedEmbedding`
        and `LinearTerm`: `ids` (batch, id columns) int32, -1 where nothing is
        contributed, `weights` (batch, id columns) float32 unless all are 1,
        and `values` (batch, numeric fields) float32, each where there are any.
    """
    check_schema(schema)
    layout = PackedLayout(schema.fields)
    inputs = {
        name: keras.Input((width,), dtype=_DTYPES[name], name=name)
        for name, width in layout.widths.items()
    }
    return inputs, embedding_arguments(layout, inputs)


def embedding_arguments(
    layout: PackedLayout, packed: Mapping[str, Any]
) -> dict[str, Any]:
    """The call arguments of `SharedEmbedding` and `LinearTerm`.

    Args:
        layout: where each field stands in `packed`.
        packed: the packed inputs of its fields.
    """
    arguments = {k: v for k, v in packed.items() if k != "weights"}
    if "ids" in packed and ("weights" in packed or layout.is_in_mean.any()):
        arguments["weights"] = _column_weights(layout, packed)
    return arguments


def check_schema(schema: Any) -> None:
    """Raise a UserTypeError for anything but a Schema."""
    if not isinstance(schema, Schema):
        raise UserTypeError(
            "`schema` must be a Schema: the one of a fitted vocabulary. "
            f"Received: {schema!r}."
        )


def _column_weights(layout: PackedLayout, inputs: Mapping[str, Any]) -> Any:
    """(batch, id columns): given weights, means divided out."""
    ids = ops.cast(inputs["ids"], row_dtype())
    present = ops.greater_equal(ids, 0)
    weights: Any = 1.0
    if "weights" in inputs:
        # Id columns without a weight take the column of ones at the end.
        ones = ops.ones_like(inputs["weights"][:, :1])
        columns = ops.concatenate([inputs["weights"], ones], axis=1)
        weights = ops.take(columns, layout.weight_columns, axis=1)
    # A selection, not a product: the weight of an absent value may be NaN.
    weights = ops.where(present, weights, np.float32(0))
    if layout.is_in_mean.any():
        fields = layout.column_fields[: layout.num_ids]
        # Not a 0/1 matrix product, which rounds to TF32 on a GPU.
        # (fields, batch)
        totals = ops.segment_sum(
            ops.transpose(weights), fields, int(fields[-1]) + 1
        )
        # (batch, id columns): for each of a mean field, its sum of weights.
        totals = ops.transpose(ops.take(totals, fields, axis=0))
        totals = ops.where(layout.is_in_mean, totals, np.float32(1))
        weights = ops.divide_no_nan(weights, totals)
    return weights
