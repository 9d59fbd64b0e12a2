"""Rows of a table in a file for each worker."""

import numpy as np
import pytest

from deepfm_tf.callbacks import shard_files
from deepfm_tf.callbacks.shard_files import read_shards, shard_name, write_shard
from deepfm_tf.errors import UserError
from deepfm_tf.row_shards import RowShards

NUM_ROWS = 11


@pytest.fixture
def table(monkeypatch):
    """11 rows of 3 weights and 2 numbers of state; read 2 at a time."""
    monkeypatch.setattr(shard_files, "BLOCK_ROWS", 2)
    return np.random.default_rng(0).random((NUM_ROWS, 5), np.float32)


def write(folder, table, count):
    """What `count` workers write of it; worker n has rows n, n + count, ..."""
    files = {}
    for number in range(count):
        own = np.full((-(-NUM_ROWS // count), 5), np.nan, np.float32)
        own[: len(table[number::count])] = table[number::count]
        name = shard_name("epoch-0001.npz", number, count)
        files[name] = write_shard(folder / name, [own[:, :3], own[:, 3:]])
    return files


def read(folder, files, number=0, count=1):
    found = np.zeros((-(-NUM_ROWS // count), 5), np.float32)
    shards = RowShards(number, count)
    for places, values in read_shards(folder, files, 5, NUM_ROWS, shards):
        found[places] = values
    return found


@pytest.mark.parametrize("readers", [1, 2, 3, 4])
@pytest.mark.parametrize("writers", [2, 3])
def test_any_number_of_workers_reads_what_others_wrote(
    writers, readers, table, tmp_path
):
    files = write(tmp_path, table, writers)

    for number in range(readers):
        found = read(tmp_path, files, number, readers)
        own = table[number::readers]
        np.testing.assert_array_equal(found[: len(own)], own)
        assert not found[len(own) :].any()  # rows of nobody


def test_numpy_reads_a_file(table, tmp_path):
    first, _ = write(tmp_path, table, 2)

    np.testing.assert_array_equal(np.load(tmp_path / first), table[::2])


def test_a_missing_file_is_told(table, tmp_path):
    files = write(tmp_path, table, 3)
    (tmp_path / "epoch-0001-rows-1-of-3.npy").unlink()

    with pytest.raises(
        UserError, match="1-of-3.npy is missing. It holds the table rows"
    ):
        read(tmp_path, files)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"0",
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: b"",
    ],
    ids=["short", "long", "bit", "empty"],
)
def test_a_damaged_file_is_told(damage, table, tmp_path):
    files = write(tmp_path, table, 3)
    path = tmp_path / "epoch-0001-rows-2-of-3.npy"
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(UserError, match="2-of-3.npy .* the file is damaged"):
        read(tmp_path, files)


def test_a_file_is_there_as_a_whole_or_as_it_was(table, tmp_path):
    files = write(tmp_path, table, 2)
    name = next(iter(files))
    too_short = np.zeros((1, 2), np.float32)

    with pytest.raises(ValueError):
        write_shard(tmp_path / name, [table[:6, :3], too_short])

    np.testing.assert_array_equal(read(tmp_path, files), table)
