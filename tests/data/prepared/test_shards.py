"""Rows out of several files, from any place to any other."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.prepared.shard_files import ShardFiles
from deepfm_tf.data.prepared.shards import CHUNK_ROWS, ShardRows

LAYOUT = RowLayout(num_values=0, num_weights=0, num_ids=1)
# Whole blocks but the last, which thirteen rows of padding fill up.
SIZES = (1536, 256, 2048, 243)
NUM_ROWS = sum(SIZES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of numbered rows, the last one with padding behind them."""
    directory = tmp_path_factory.mktemp("shards")
    rows = np.repeat(np.arange(NUM_ROWS, dtype="<i4")[:, None], 2, axis=1)
    padding = np.full((13, 2), -1, "<i4")
    found = {}
    for number, part in enumerate(np.split(rows, np.cumsum(SIZES)[:-1])):
        if number == len(SIZES) - 1:
            part = np.concatenate([part, padding])
        path = directory / f"{number}.bin"
        path.write_bytes(part.tobytes())
        found[path] = part.nbytes
    blocks = np.frombuffer(b"".join(map(Path.read_bytes, found)), np.uint8)
    return ShardFiles(found, block_checksums(blocks, LAYOUT), LAYOUT)


def load(rows, order, start, stop):
    start, stop = (tf.constant(x, tf.int64) for x in (start, stop))
    return rows.load(order, start, stop).numpy()[:, 0].tolist()


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, NUM_ROWS), (1535, 1538), (1536, 1537), (3840, 4080), (700, 3900)],
)
def test_any_stretch_is_read_across_files(files, start, stop):
    rows = ShardRows(files, LAYOUT, 0, NUM_ROWS)

    assert load(rows, None, start, stop) == list(range(start, stop))


def test_the_first_rows_are_read_as_they_are_stored(files):
    for num_rows in (1, 1536, 1600, NUM_ROWS):
        parts = list(files.rows(num_rows, at_once=500))

        rows = np.concatenate(parts)[:, 0].tolist()
        assert rows == list(range(num_rows))
        assert max(map(len, parts)) <= 500


def test_a_part_of_the_rows_counts_from_its_own_first(files):
    rows = ShardRows(files, LAYOUT, 1400, 3600)

    assert rows.num_rows == 2200
    assert load(rows, None, 90, 110) == list(range(1490, 1510))


def test_an_order_of_chunks_is_followed_from_any_row(files):
    rows = ShardRows(files, LAYOUT, 0, NUM_ROWS)
    order = tf.constant([3, 0, 2, 1], tf.int64)
    chunks = [
        list(range(i * CHUNK_ROWS, min(NUM_ROWS, (i + 1) * CHUNK_ROWS)))
        for i in (3, 0, 2, 1)
    ]
    expected = sum(chunks, [])

    assert load(rows, order, 0, NUM_ROWS) == expected
    assert load(rows, order, 900, 2100) == expected[900:2100]


def test_a_random_order_names_each_chunk_once(files):
    rows = ShardRows(files, LAYOUT, 0, NUM_ROWS)
    orders = [
        rows.order(tf.constant([7, i], tf.int64)).numpy().tolist()
        for i in range(8)
    ]

    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
