"""Rows of prepared shards, read in groups from anywhere in the files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.prepared.shard_files import ShardFiles

# Shuffling reads chunks of this many adjoining rows from all over the files,
# and permutes the rows of a group of chunks.
CHUNK_ROWS = 1024
GROUP_ROWS = 128 * CHUNK_ROWS
LEAST_GROUP_ROWS = 16 * CHUNK_ROWS
_GROUP_BYTES = 32 * 2**20

# TensorFlow takes over an array without a copy if it begins at a multiple.
_ALIGNMENT = 64


class ShardRows:
    """Adjoining rows of the shards of one prepared directory.

    Args:
        files: ShardFiles.
        layout: RowLayout of the rows.
        start: int. The first row.
        stop: int. The row after the last.
    """

    def __init__(
        self, files: ShardFiles, layout: RowLayout, start: int, stop: int
    ) -> None:
        self.num_rows = stop - start
        self._files = files
        self._row_bytes = 4 * layout.width
        self._width = layout.width
        self._first_row = start
        self.group_rows = max(
            LEAST_GROUP_ROWS,
            min(GROUP_ROWS, _GROUP_BYTES // self._row_bytes),
        )

    def order(self, key: tf.Tensor) -> tf.Tensor:
        """A random order of the chunks."""
        num_chunks = -(-self.num_rows // CHUNK_ROWS)
        return tf.random.experimental.stateless_shuffle(
            tf.range(num_chunks, dtype=tf.int64), key
        )

    def load(
        self, order: tf.Tensor | None, start: tf.Tensor, stop: tf.Tensor
    ) -> tf.Tensor:
        """(rows, width) int32: those from `start` to `stop` in that order."""
        if order is None:
            order = tf.zeros((0,), tf.int64)
        rows = tf.numpy_function(self._read, [order, start, stop], tf.int32)
        return tf.ensure_shape(rows, (None, self._width))

    def _read(self, order: Array, start: int, stop: int) -> Array:
        size = (stop - start) * self._row_bytes
        memory: Array = np.empty(size + _ALIGNMENT, dtype=np.uint8)
        skipped = -memory.ctypes.data % _ALIGNMENT
        memory = memory[skipped : skipped + size]
        done = 0
        for first, last in self._pieces(order, int(start), int(stop)):
            for number, begin, end in self._places(first, last):
                num_bytes = (end - begin) * self._row_bytes
                part = memory[done : done + num_bytes]
                self._files.read(number, begin, end, part)
                done += num_bytes
        return memory.view("<i4").reshape(-1, self._width)

    def _pieces(
        self, order: Array, start: int, stop: int
    ) -> Iterator[tuple[int, int]]:
        """Stretches of rows that stand from `start` to `stop` in an order."""
        if not len(order):
            yield start, stop
            return
        firsts = order * CHUNK_ROWS
        lasts = np.minimum(firsts + CHUNK_ROWS, self.num_rows)
        ends = np.cumsum(lasts - firsts)
        number = int(np.searchsorted(ends, start, side="right"))
        while start < stop:
            rest = int(min(ends[number], stop) - start)
            first = int(lasts[number] - (ends[number] - start))
            yield first, first + rest
            start += rest
            number += 1

    def _places(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Number of a shard, first row and row after the last in it."""
        # The last shard's padding is never read.
        first, last = first + self._first_row, last + self._first_row
        ends = self._files.ends
        number = int(np.searchsorted(ends, first, side="right"))
        while first < last:
            end = int(ends[number])
            begin = int(ends[number - 1]) if number else 0
            stop = min(last, end)
            yield number, first - begin, stop - begin
            first = stop
            number += 1
