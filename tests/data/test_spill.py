"""Checked blocks come back from the disk as they went."""

import errno

import numpy as np
import pyarrow as pa
import pytest

from deepfm_tf.data.spill import SpilledBlocks
from deepfm_tf.data.stream import CheckedBlock
from deepfm_tf.files.text import BadRow

BAD = BadRow("a.csv", 7, "x", "\N{SNOWMAN}", "no number", "1,\N{SNOWMAN}")


def block(number, num_rows=3, rejected=()):
    texts = pa.array([f"t{i % 2}" for i in range(num_rows)])
    return CheckedBlock(
        number,
        {
            # A field may have any name, that of another's number too.
            "1": texts.dictionary_encode(),
            "0": np.array([0.5, np.nan, 3.0][:num_rows]),
        },
        np.arange(num_rows) % 2,
        list(rejected),
    )


def test_blocks_come_back_whole_and_in_the_order_of_their_numbers(tmp_path):
    spilled = SpilledBlocks(tmp_path / "blocks")
    for number in (2, 0, 1):
        spilled.write(block(number, rejected=[BAD] * (number == 1)))

    found = list(spilled.map_blocks(lambda block: block))

    assert [b.number for b in found] == [0, 1, 2]
    assert [b.rejected for b in found] == [[], [BAD], []]
    for b in found:
        assert list(b.columns) == ["1", "0"]
        assert b.columns["1"].to_pylist() == ["t0", "t1", "t0"]
        np.testing.assert_array_equal(b.columns["0"], [0.5, np.nan, 3.0])
        np.testing.assert_array_equal(b.label, [0, 1, 0])


def test_a_block_without_rows_is_a_block(tmp_path):
    spilled = SpilledBlocks(tmp_path / "blocks")
    spilled.write(block(0, num_rows=0, rejected=[BAD]))

    (found,) = spilled.map_blocks(lambda block: block)

    assert len(found.label) == len(found.columns["0"]) == 0
    assert found.rejected == [BAD]


def test_used_blocks_are_gone_from_the_disk(tmp_path):
    spilled = SpilledBlocks(tmp_path / "blocks")
    for number in range(4):
        spilled.write(block(number))
    assert len(list((tmp_path / "blocks").iterdir())) == 4

    for _ in spilled.map_blocks(lambda block: None):
        pass

    assert not list((tmp_path / "blocks").iterdir())


def test_a_full_disk_is_told_from_other_failures(tmp_path):
    spilled = SpilledBlocks(tmp_path / "blocks")
    # A device on which every write fails as on a full disk.
    (tmp_path / "blocks" / "00000000.arrow").symlink_to("/dev/full")

    with pytest.raises(OSError) as caught:
        spilled.write(block(0))

    assert caught.value.errno == errno.ENOSPC
