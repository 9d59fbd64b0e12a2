"""Checksums of the blocks of a shard."""

from __future__ import annotations

import numpy as np
import xxhash

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.packing import RowLayout


def block_checksums(data: Array, layout: RowLayout) -> Array:
    """The XXH3 of each block: as fast as copying it, so for every read.

    Args:
        data: uint8, the bytes of whole blocks.
        layout: RowLayout of the rows.

    Returns:
        (blocks,) uint64, little-endian.
    """
    view, size = data.data, layout.block_bytes
    return np.array(
        [
            xxhash.xxh3_64_intdigest(view[start : start + size])
            for start in range(0, len(data), size)
        ],
        dtype="<u8",
    )
