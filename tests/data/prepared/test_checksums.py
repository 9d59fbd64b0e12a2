"""Checksums: XXH3 of every block, wherever it stands."""

import numpy as np
import xxhash

from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.packing import RowLayout

LAYOUT = RowLayout(num_values=1, num_weights=0, num_ids=1)
# 256 rows of a label, a value and an id, of four bytes each.
BLOCK_BYTES = 256 * 3 * 4


def random_blocks(num_blocks):
    random = np.random.default_rng(4)
    return random.integers(0, 256, num_blocks * BLOCK_BYTES, np.uint8)


def test_each_block_has_its_own_checksum():
    data = random_blocks(2)
    text = data.tobytes()

    found = block_checksums(data, LAYOUT)

    assert found.tolist() == [
        int(xxhash.xxh3_64_hexdigest(text[:BLOCK_BYTES]), 16),
        int(xxhash.xxh3_64_hexdigest(text[BLOCK_BYTES:]), 16),
    ]


def test_a_checksum_does_not_depend_on_where_the_data_stand():
    data = random_blocks(1)
    memory = np.empty(len(data) + 4, np.uint8)
    memory[4:] = data

    moved = block_checksums(memory[4:], LAYOUT)

    assert moved.tolist() == block_checksums(data, LAYOUT).tolist()


def test_every_changed_bit_and_every_zeroed_block_shows():
    data = random_blocks(1)
    (right,) = block_checksums(data, LAYOUT)

    for offset in range(0, len(data), 97):
        for bit in range(8):
            changed = data.copy()
            changed[offset] ^= 1 << bit
            assert block_checksums(changed, LAYOUT)[0] != right
    assert block_checksums(np.zeros_like(data), LAYOUT)[0] != right
