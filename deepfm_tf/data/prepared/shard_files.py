"""The shards of a prepared directory: no row is read unchecked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.packing import BLOCK_ROWS, RowLayout
from deepfm_tf.data.reading.stamps import Stamp
from deepfm_tf.errors import UserError

# Rows that are read, and checked, at a time: they fit a processor's cache.
_READ_ROWS = 4 * BLOCK_ROWS


class ShardFiles:
    """Reads rows of shards, and compares them with their checksums.

    A file may be damaged, or replaced by that of another preparation, while
    it is in use. So each block is checked when it is read for the first time,
    and again once its file looks different from outside.

    Args:
        sizes: path of each shard, in order, -> its bytes, in whole blocks.
        checksums: (blocks,) uint64, of all shards.
        layout: RowLayout of the rows.

    Attributes:
        ends: (shards,) int64. The row behind each shard, among all.
        layout: as given.
    """

    def __init__(
        self,
        sizes: Mapping[Path, int],
        checksums: Array,
        layout: RowLayout,
    ) -> None:
        self.row_bytes = 4 * layout.width
        self.ends = np.cumsum(
            np.array(list(sizes.values()), dtype=np.int64) // self.row_bytes
        )
        self._paths = list(sizes)
        self._checksums = checksums
        self.layout = layout
        # A file, as it looked -> which of its blocks were right.
        self._right: dict[tuple[int, Stamp], bytearray] = {}
        self._is_local: dict[int, bool] = {}

    def rows(self, num_rows: int, at_once: int) -> Iterator[Array]:
        """(rows, width) int32: the first rows, some at a time.

        Args:
            num_rows: int. How many; not the padding of the last shard.
            at_once: int. How many of a shard are read together.
        """
        first = 0
        for number, behind in enumerate(self.ends.tolist()):
            count = min(behind, num_rows) - first
            for begin in range(0, count, at_once):
                end = min(begin + at_once, count)
                rows = np.empty((end - begin, self.layout.width), "<i4")
                self.read(number, begin, end, rows.reshape(-1).view(np.uint8))
                yield rows
            first = behind

    def read(self, number: int, begin: int, end: int, target: Array) -> None:
        """Read some rows of one shard.

        Args:
            number: int. Of the shard.
            begin: int. The first row, within the shard.
            end: int. The row after the last.
            target: where to; as many bytes (uint8).

        Raises:
            ValueError: they are not those that were prepared.
        """
        size, done = self.row_bytes, 0
        try:
            descriptor = os.open(self._paths[number], os.O_RDONLY)
        except FileNotFoundError:
            self._refuse(number, "no longer exists")
        try:
            right = self._known_right(number, os.fstat(descriptor))
            for row, count in _cuts(begin, end):
                part = target[done : done + count * size]
                skipped = row % BLOCK_ROWS
                if skipped or count % BLOCK_ROWS:
                    # A checksum is of a block, of which not all is wanted.
                    block = np.empty(BLOCK_ROWS * size, np.uint8)
                    self._fill(block, descriptor, number, row - skipped, right)
                    part[:] = block[skipped * size :][: len(part)]
                else:
                    self._fill(part, descriptor, number, row, right)
                done += len(part)
        finally:
            os.close(descriptor)

    def _known_right(self, number: int, status: os.stat_result) -> bytearray:
        """1 for each block of a shard that need not be checked; to be set."""
        stamp = Stamp.of_status(status)
        right = self._right.get((number, stamp))
        if right is None:
            before = int(self.ends[number - 1]) if number else 0
            right = bytearray((int(self.ends[number]) - before) // BLOCK_ROWS)
            if stamp.device not in self._is_local:
                self._is_local[stamp.device] = stamp.is_local()
            if stamp.is_settled() and self._is_local[stamp.device]:
                # Another thread may do the same.
                right = self._right.setdefault((number, stamp), right)
        return right

    def _fill(
        self,
        target: Array,
        descriptor: int,
        number: int,
        row: int,
        right: bytearray,
    ) -> None:
        """Fill `target` with whole blocks, from a row on."""
        offset = row * self.row_bytes
        if os.preadv(descriptor, [target.data], offset) != len(target):
            self._refuse(number, "is shorter than when it was opened")
        first = row // BLOCK_ROWS
        stop = first + len(target) // (BLOCK_ROWS * self.row_bytes)
        if right.find(0, first, stop) < 0:
            return
        before = int(self.ends[number - 1]) // BLOCK_ROWS if number else 0
        expected = self._checksums[before + first : before + stop]
        found = block_checksums(target, self.layout)
        if found.tobytes() != expected.tobytes():
            last = stop * BLOCK_ROWS - 1
            self._refuse(
                number, f"does not hold the rows {row} to {last} as prepared"
            )
        right[first:stop] = b"\1" * (stop - first)

    def _refuse(self, number: int, what: str) -> NoReturn:
        path = self._paths[number]
        # So that `prepare` looks at a file again that a failing disk changed.
        with contextlib.suppress(OSError):
            os.utime(path)
        raise UserError(
            f"{path} {what}: it was damaged, or replaced while a data set "
            "reads it. Prepare the data again, and make a new data set."
        )


def _cuts(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of the reads that make a stretch.

    Whole blocks are read by themselves.
    """
    while begin < end:
        if begin % BLOCK_ROWS or end - begin < BLOCK_ROWS:
            stop = min(end, begin - begin % BLOCK_ROWS + BLOCK_ROWS)
        else:
            stop = min(end - end % BLOCK_ROWS, begin + _READ_ROWS)
        yield begin, stop - begin
        begin = stop
