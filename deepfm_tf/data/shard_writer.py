"""Files of a prepared directory, as their rows come."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.data.checksums import block_checksums
from deepfm_tf.data.manifest import CHECKSUMS_FILE, REJECTED_FILE, shard_file
from deepfm_tf.data.packing import BLOCK_ROWS, PADDING, RowLayout
from deepfm_tf.files.bad_row import BadRow

# Blocks of 256 rows in a shard: half a million rows.
SHARD_BLOCKS = 2048


class ShardWriter:
    """Writes rows as whole blocks, and a checksum of each.

    The last block is filled up with padding.

    Args:
        directory: where to.
        layout: RowLayout of the rows.

    Attributes:
        sizes: name of each shard -> its bytes.
    """

    def __init__(self, directory: Path, layout: RowLayout) -> None:
        self.sizes: dict[str, int] = {}
        self._checksums = open(directory / CHECKSUMS_FILE, "wb")
        self._directory = directory
        self._layout = layout
        self._rest: Array = np.empty((0, layout.width), dtype="<i4")
        self._file: BinaryIO | None = None
        self._blocks_left = 0

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, rows: Array) -> None:
        """Write some rows (rows, width) int32."""
        rows = np.concatenate([self._rest, rows])
        whole = len(rows) - len(rows) % BLOCK_ROWS
        self._rest = rows[whole:].copy()
        start = 0
        while start < whole:
            if self._file is None or not self._blocks_left:
                self._file = self._next_shard()
            stop = min(whole, start + self._blocks_left * BLOCK_ROWS)
            data = rows[start:stop].tobytes()
            self._file.write(data)
            checksums = block_checksums(
                np.frombuffer(data, np.uint8), self._layout
            )
            self._checksums.write(checksums.tobytes())
            self.sizes[next(reversed(self.sizes))] += len(data)
            self._blocks_left -= (stop - start) // BLOCK_ROWS
            start = stop

    def _next_shard(self) -> BinaryIO:
        self._close()
        name = shard_file(len(self.sizes))
        self.sizes[name] = 0
        self._blocks_left = SHARD_BLOCKS
        return open(self._directory / name, "wb")

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and len(self._rest):
            count = BLOCK_ROWS - len(self._rest)
            padding = np.zeros((count, self._layout.width), dtype="<i4")
            padding[:, 0] = PADDING
            self.write(padding)
        self._close()
        self._checksums.close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


class RejectedWriter:
    """Writes rejected rows, once there is one, to a CSV file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / REJECTED_FILE
        self._file: Any = None

    def __enter__(self) -> RejectedWriter:
        return self

    def write(self, rows: list[BadRow]) -> None:
        """Write some rows."""
        if not rows:
            return
        if self._file is None:
            self._file = open(self._path, "w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(BadRow._fields)
        csv.writer(self._file).writerows(rows)

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()
