"""Rows of shards: those that were written, or an error."""

import os
import time

import numpy as np
import pytest

from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.packing import BLOCK_ROWS, RowLayout
from deepfm_tf.data.prepared.shard_files import ShardFiles
from tests.data.clock import wait_for_a_tick

LAYOUT = RowLayout(num_values=0, num_weights=0, num_ids=2)
NUM_BLOCKS = 9
NUM_ROWS = NUM_BLOCKS * BLOCK_ROWS
ROWS = np.arange(3 * NUM_ROWS, dtype="<i4").reshape(NUM_ROWS, 3)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "shard-00000.bin"
    path.write_bytes(ROWS.tobytes())
    return path


def open_shard(path):
    blocks = np.frombuffer(ROWS.tobytes(), np.uint8)
    checksums = block_checksums(blocks, LAYOUT)
    return ShardFiles({path: ROWS.nbytes}, checksums, LAYOUT)


def read(files, begin, end):
    target = np.empty((end - begin) * 12, np.uint8)
    files.read(0, begin, end, target)
    return target.view("<i4").reshape(-1, 3)


def overwrite(path, data, offset=0):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path, offset):
    byte = path.read_bytes()[offset]
    overwrite(path, bytes([byte ^ 1]), offset)


@pytest.mark.parametrize(
    ("begin", "end"), [(0, NUM_ROWS), (255, 257), (300, 301), (1, 2303)]
)
def test_any_rows_are_read(path, begin, end):
    np.testing.assert_array_equal(
        read(open_shard(path), begin, end), ROWS[begin:end]
    )


@pytest.mark.parametrize("offset", [0, 5000, 12 * NUM_ROWS - 1])
def test_a_flipped_bit_is_told_when_its_block_is_read(path, offset):
    block = offset // (12 * BLOCK_ROWS)
    files = open_shard(path)

    flip(path, offset)

    message = f"rows {256 * block} to .* as prepared.*Prepare the data again"
    with pytest.raises(ValueError, match=f"shard-00000.bin .*{message}"):
        read(files, 256 * block + 9, 256 * block + 10)
    other = 0 if block else 1
    read(files, 256 * other, 256 * other + 256)


def test_rows_of_another_order_are_told(path):
    files = open_shard(path)

    overwrite(path, ROWS[:BLOCK_ROWS, ::-1].tobytes())

    with pytest.raises(ValueError, match="rows 0 to"):
        read(files, 0, 1)


def test_damage_is_told_of_rows_that_were_right_before(path, monkeypatch):
    monkeypatch.setattr("deepfm_tf.data.reading.stamps.SETTLED_NANOSECONDS", -1)
    files, status = open_shard(path), path.stat()
    read(files, 0, NUM_ROWS)
    wait_for_a_tick(path)

    flip(path, 4000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(ValueError, match="rows 0 to 1023"):
        read(files, 0, NUM_ROWS)


def test_what_was_right_is_not_checked_again(path, monkeypatch):
    monkeypatch.setattr("deepfm_tf.data.reading.stamps.SETTLED_NANOSECONDS", -1)
    files, calls = open_shard(path), []
    monkeypatch.setattr(
        "deepfm_tf.data.prepared.shard_files.block_checksums",
        lambda data, layout: (
            calls.append(len(data)) or block_checksums(data, layout)
        ),
    )

    read(files, 0, 100)
    read(files, 0, NUM_ROWS)
    read(files, 7, NUM_ROWS)

    # The first block by itself; then all of them, four at a time.
    assert calls == [3072, *[4 * 3072] * 2, 3072]


def test_a_file_that_changed_a_moment_ago_is_checked_each_time(path):
    files = open_shard(path)
    read(files, 0, NUM_ROWS)
    status = path.stat()

    # Within a tick of the clock nothing but the contents would differ.
    flip(path, 0)

    assert time.time_ns() - status.st_ctime_ns < 2e9
    with pytest.raises(ValueError, match="rows 0 to"):
        read(files, 0, 256)


def test_an_absent_file_and_a_short_one_are_named(path):
    files = open_shard(path)

    os.truncate(path, 1000)
    with pytest.raises(ValueError, match="00000.bin is shorter than when"):
        read(files, 0, 256)
    path.unlink()
    with pytest.raises(ValueError, match="00000.bin no longer exists"):
        read(files, 0, 256)


def test_damage_makes_the_file_look_different(path):
    """So that `prepare` reads it again, whatever damaged it."""
    files = open_shard(path)
    flip(path, 0)
    before = path.stat().st_ctime_ns
    wait_for_a_tick(path)

    with pytest.raises(ValueError, match="as prepared"):
        read(files, 0, 256)

    assert path.stat().st_ctime_ns != before
