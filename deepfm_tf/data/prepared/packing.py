"""Rows of fixed width: the binary form of prepared shards and of memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.schema import Schema

# Rows of a shard are read and shuffled in blocks of this many.
BLOCK_ROWS = 256

# A block is always whole: rows that fill it up carry this instead of a label.
# As float32 it is -0.0, which no label is.
PADDING = np.int32(-(2**31))


@dataclasses.dataclass(frozen=True)
class RowLayout:
    """Where each input stands in a packed row, in words of four bytes.

    A row is little-endian: the label (float32), the numeric values (float32),
    the weights (float32), the ids (int32), then the example weight (float32).

    Args:
        num_values: int. Numeric fields.
        num_weights: int. Weighted id columns.
        num_ids: int. Id columns.
        num_example_weights: int. 1 where rows have a weight, else 0.
    """

    num_values: int
    num_weights: int
    num_ids: int
    num_example_weights: int = 0

    @classmethod
    def of(cls, schema: Schema) -> RowLayout:
        """The layout of a schema's examples."""
        layout = PackedLayout(schema.fields)
        return cls(
            layout.num_values,
            layout.num_weights,
            layout.num_ids,
            int(schema.example_weight is not None),
        )

    @property
    def width(self) -> int:
        """Words in a row."""
        return (
            1
            + self.num_values
            + self.num_weights
            + self.num_ids
            + self.num_example_weights
        )

    @property
    def block_bytes(self) -> int:
        """Bytes of a whole block."""
        return 4 * self.width * BLOCK_ROWS

    def columns(self) -> dict[str, slice]:
        """Name of each packed input there is -> its columns."""
        sizes = {
            "values": self.num_values,
            "weights": self.num_weights,
            "ids": self.num_ids,
        }
        columns, start = {}, 1
        for name, size in sizes.items():
            if size:
                columns[name] = slice(start, start + size)
            start += size
        return columns

    def pack(
        self,
        packed: Mapping[str, Array],
        label: Array,
        weight: Array | None = None,
    ) -> Array:
        """Packed inputs, labels and weights as one (rows, width) int32 array.

        `weight` must be given where the layout has it, and only there.
        """
        rows = np.empty((len(label), self.width), dtype="<i4")
        rows[:, 0] = label.astype("<f4").view("<i4")
        for name, columns in self.columns().items():
            rows[:, columns] = packed[name].view("<i4")
        if weight is not None:
            rows[:, -1] = weight.astype("<f4").view("<i4")
        return rows
