"""Multi-valued texts to their values and weights."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.fields import Field
from deepfm_tf.raw_values.numbers import parse_numbers


def split_values(
    field: Field,
    column: pa.Array,
    missing_values: tuple[str, ...] = (),
) -> tuple[Array, pa.Array, Array]:
    """All values of a multi-valued column, flat.

    Returns:
        For each value kept, in order: the row it stands in (int64), its text,
        and its weight (float32; 1 where it has none, NaN if unparsable).
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    lists = pc.split_pattern(pc.fill_null(column, ""), field.separator)
    tokens = lists.flatten()
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    weights = np.ones(len(tokens), dtype=np.float32)
    if field.weight_separator and len(tokens):
        parts = pc.split_pattern(
            tokens, field.weight_separator, max_splits=1, reverse=True
        )
        tokens = pc.list_element(parts, 0)
        has_weight = pc.equal(pc.list_value_length(parts), 2)
        mask = has_weight.to_numpy(zero_copy_only=False)
        texts = pc.list_element(parts.filter(has_weight), 1)
        weights[mask] = parse_numbers(texts)
    keep = pc.not_equal(tokens, "")
    if missing_values:
        keep = pc.and_(
            keep,
            pc.invert(pc.is_in(tokens, value_set=pa.array(missing_values))),
        )
    mask = keep.to_numpy(zero_copy_only=False)
    return rows[mask].astype(np.int64), tokens.filter(keep), weights[mask]
