"""Checked blocks come back from the disk as they went."""

import errno
import secrets

import numpy as np
import pyarrow as pa
import pytest

from deepfm_tf.data.reading.spill import Piece, SpilledBlocks, pieces_of
from deepfm_tf.data.reading.stream import CheckedBlock


def block(number, num_rows=3):
    texts = pa.array([f"t{i % 2}" for i in range(num_rows)])
    return CheckedBlock(
        number,
        {
            # A field may have any name, that of another's number too.
            "1": texts.dictionary_encode(),
            "0": np.array([0.5, np.nan, 3.0][:num_rows]),
        },
        np.arange(num_rows) % 2,
        [],
    )


def test_blocks_come_back_whole_and_in_the_order_of_their_numbers(tmp_path):
    spilled = SpilledBlocks(tmp_path)
    for number in (2, 0, 1):
        spilled.write(block(number))

    found = list(spilled.map_blocks({2: 3, 0: 3, 1: 3}, lambda block: block))

    assert [b.number for b in found] == [0, 1, 2]
    assert [b.first_row for b in found] == [0, 3, 6]
    for b in found:
        assert list(b.columns) == ["1", "0"]
        assert b.columns["1"].to_pylist() == ["t0", "t1", "t0"]
        np.testing.assert_array_equal(b.columns["0"], [0.5, np.nan, 3.0])
        np.testing.assert_array_equal(b.label, [0, 1, 0])


def test_a_piece_of_a_block_has_its_own_rows(tmp_path):
    spilled = SpilledBlocks(tmp_path)
    spilled.write(block(7))

    found = spilled.read(Piece(7, 1, 3, first_row=41))

    assert found.columns["1"].to_pylist() == ["t1", "t0"]
    np.testing.assert_array_equal(found.columns["0"], [np.nan, 3.0])
    assert found.label.tolist() == [1, 0]
    assert (found.num_rows, found.first_row) == (2, 41)


def test_a_block_without_rows_is_a_block(tmp_path):
    spilled = SpilledBlocks(tmp_path)
    spilled.write(block(0, num_rows=0))

    (found,) = spilled.map_blocks({0: 0}, lambda block: block)

    assert found.num_rows == len(found.label) == len(found.columns["0"]) == 0


def test_blocks_follow_each_other_by_their_numbers():
    assert list(pieces_of({1 << 32: 5, 0: 2, 1: 0})) == [
        Piece(0, 0, 2, 0),
        Piece(1, 0, 0, 2),
        Piece(1 << 32, 0, 5, 2),
    ]


def test_a_block_that_is_written_twice_is_there_once(tmp_path):
    for _ in range(2):
        SpilledBlocks(tmp_path).write(block(0))

    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_from_other_failures(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda size: "unfinished")
    # A device on which every write fails as on a full disk.
    path = SpilledBlocks(tmp_path).path(0).with_suffix(".unfinished")
    path.symlink_to("/dev/full")

    with pytest.raises(OSError) as caught:
        SpilledBlocks(tmp_path).write(block(0))

    assert caught.value.errno == errno.ENOSPC
