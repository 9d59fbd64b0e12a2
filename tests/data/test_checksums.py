"""Checksums: the sum that the docstring says, of every block."""

import hashlib

import numpy as np

from deepfm_tf.data.checksums import BlockChecksums
from deepfm_tf.data.packing import RowLayout

LAYOUT = RowLayout(num_values=1, num_weights=0, num_ids=1)
NUM_WORDS = 256 * 3 * 4 // 8


def random_blocks(num_blocks):
    random = np.random.default_rng(4)
    return random.integers(0, 256, num_blocks * NUM_WORDS * 8, np.uint8)


def test_a_checksum_is_a_weighted_sum_of_words():
    data = random_blocks(2)
    stream = hashlib.shake_256(b"deepfm_tf").digest(NUM_WORDS * 8)

    found = BlockChecksums(LAYOUT).of(data)

    for number in range(2):
        expected = 0
        for j in range(NUM_WORDS):
            at = slice(8 * j, 8 * j + 8)
            block = data[number * 8 * NUM_WORDS :].tobytes()
            factor = int.from_bytes(stream[at], "little") | 1
            expected += factor * int.from_bytes(block[at], "little")
        assert int(found[number]) == expected % 2**64


def test_a_checksum_does_not_depend_on_where_the_data_stand():
    data = random_blocks(1)
    memory = np.empty(len(data) + 4, np.uint8)
    memory[4:] = data
    check = BlockChecksums(LAYOUT)

    assert check.of(memory[4:]).tolist() == check.of(data).tolist()


def test_every_changed_bit_and_every_zeroed_block_shows():
    check = BlockChecksums(LAYOUT)
    data = random_blocks(1)
    (right,) = check.of(data)

    for offset in range(0, len(data), 97):
        for bit in range(8):
            changed = data.copy()
            changed[offset] ^= 1 << bit
            assert check.of(changed)[0] != right
    assert check.of(np.zeros_like(data))[0] != right
