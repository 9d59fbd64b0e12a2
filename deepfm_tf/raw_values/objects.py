"""Objects of several types as Arrow arrays: their texts, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.raw_values.element import NoTextError, shown, to_text

# Objects of several types: each one's text, and why it has none.
ELEMENTS = pa.struct(
    [("deepfm_tf.text", pa.string()), ("deepfm_tf.refused", pa.string())]
)
# What `with_lists` adds to them.
_LISTS = "deepfm_tf.lists"


def from_elements(values: Iterable[Any]) -> pa.StructArray:
    """The texts of objects of any types, as an array of type `ELEMENTS`."""
    texts: list[str | None] = []
    refused: list[str | None] = []
    for value in values:
        reason = None
        try:
            text = to_text(value)
        except NoTextError as error:
            text, reason = shown(value), str(error)
        texts.append(text)
        refused.append(reason)
    return pa.StructArray.from_arrays(
        [pa.array(texts, pa.string()), pa.array(refused, pa.string())],
        fields=list(ELEMENTS),
    )


def with_lists(values: Sequence[Any], lists: pa.Array) -> pa.StructArray:
    """Values of which some are lists: what a field of one or of many reads.

    Args:
        values: the values; a list has no text of its own.
        lists: the same as lists of texts, of one where a value is no list.
    """
    elements = from_elements(values)
    names = [*(field.name for field in ELEMENTS), _LISTS]
    parts = [elements.field(0), elements.field(1), lists]
    return pa.StructArray.from_arrays(parts, names)


def may_be_lists(kind: pa.DataType) -> bool:
    """Whether it is the type of `with_lists`."""
    return bool(pa.types.is_struct(kind) and kind.get_field_index(_LISTS) >= 0)


def is_elements(kind: pa.DataType) -> bool:
    """Whether it is the type `ELEMENTS`, or lists of it, or of `with_lists`."""
    return bool(
        kind == ELEMENTS
        or may_be_lists(kind)
        or (pa.types.is_list(kind) and kind.value_type == ELEMENTS)
    )


def shown_elements(array: pa.Array) -> pa.Array:
    """The texts of such an array, also of what has none, for people."""
    if array.type == ELEMENTS:
        return array.field(0)
    if may_be_lists(array.type):
        lists = array.field(2)
        return shown_elements(lists) if is_elements(lists.type) else lists
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    ends = np.append(0, np.cumsum(lengths.to_numpy(zero_copy_only=False)))
    is_missing = array.is_null().to_numpy(zero_copy_only=False)
    offsets = pa.array(ends, pa.int32(), mask=np.append(is_missing, False))
    return pa.ListArray.from_arrays(offsets, array.flatten().field(0))
