"""The rows that each worker holds, in files that any number of them can read.

One file a worker and epoch: a numpy array of its rows, what the optimizer
keeps of each beside its weights.
"""

from __future__ import annotations

import io
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.kernels import rows_between
from deepfm_tf.row_shards import RowShards
from deepfm_tf.storage import replacing

# Rows that are read or written at once.
BLOCK_ROWS = 2**16
HINT = "Restore it, or start without resuming."


def numpy_header(shape: tuple[int, ...], dtype: Any = "<f4") -> bytes:
    """What a file of numpy's begins with."""
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))  # type: ignore[no-untyped-call]
    about = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)  # type: ignore[no-untyped-call]
    return header.getvalue()


def blocks_of(values: Any) -> Iterator[Array]:
    """The rows of an array or of a `tf.Variable`, some at a time.

    A variable is nowhere copied as a whole.
    """
    num_rows = values.shape[0]
    for start in range(0, num_rows, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, num_rows)
        if isinstance(values, np.ndarray):
            yield values[start:stop]
        else:
            yield np.asarray(rows_between(values, start, stop))


def shard_name(checkpoint: str, number: int, count: int) -> str:
    """The file of a worker's rows.

    Example:

    >>> shard_name("epoch-0003.npz", 1, 4)
    'epoch-0003-rows-1-of-4.npy'
    """
    return f"{Path(checkpoint).stem}-rows-{number}-of-{count}.npy"


def write_shard(path: Path, columns: Sequence[Any]) -> int:
    """Write the rows of a worker, all or nothing.

    Args:
        path: of the file.
        columns: (rows, columns) float32 arrays or `tf.Variable`s, to stand
            side by side.

    Returns:
        A checksum of the file.
    """
    num_rows = columns[0].shape[0]
    header = numpy_header((num_rows, sum(each.shape[1] for each in columns)))
    checksum = 0
    with replacing(path) as temporary, open(temporary, "wb") as file:
        blocks = (
            np.concatenate(parts, axis=1).tobytes()
            for parts in zip(*map(blocks_of, columns), strict=True)
        )
        for block in itertools.chain([header], blocks):
            file.write(block)
            checksum = zlib.crc32(block, checksum)
    return checksum


def read_shards(
    folder: Path,
    files: Mapping[str, int],
    num_columns: int,
    num_rows: int,
    shards: RowShards,
) -> Iterator[tuple[Array, Array]]:
    """Places and values of the rows that one worker holds.

    All files are read, in blocks, whole or not: those that wrote them may have
    been more or fewer.

    Args:
        folder: where they are.
        files: name -> checksum, by the number of the worker that wrote it.
        num_columns: int. Of all that was written side by side.
        num_rows: int. Of the whole table.
        shards: which rows are asked for.

    Raises:
        UserError: a file is missing, or is not what was written.
    """
    writers = len(files)
    for number, (name, checksum) in enumerate(files.items()):
        shape = RowShards(number, writers).num_held(num_rows), num_columns
        for start, values in _blocks(folder / name, checksum, shape):
            rows = RowShards(number, writers).rows_of(
                np.arange(start, start + len(values))
            )
            is_own = (rows % shards.count == shards.number) & (rows < num_rows)
            yield rows[is_own] // shards.count, values[is_own]


def _blocks(
    path: Path, checksum: int, shape: tuple[int, int]
) -> Iterator[tuple[int, Array]]:
    """First place and values of each block of a file."""
    if not path.is_file():
        raise MissingFileError(
            f"{path} is missing. It holds the table rows of one worker. {HINT}"
        )
    row_bytes = 4 * shape[1]
    with open(path, "rb") as file:
        found = zlib.crc32(file.read(len(numpy_header(shape))))
        for start in range(0, shape[0], BLOCK_ROWS):
            size = min(BLOCK_ROWS, shape[0] - start)
            block = file.read(size * row_bytes)
            found = zlib.crc32(block, found)
            if len(block) < size * row_bytes:
                break
            yield start, np.frombuffer(block, "<f4").reshape(size, shape[1])
        if found != checksum or file.read(1):
            raise UserError(
                f"{path} must hold the rows that one of the workers wrote. "
                f"Received: different bytes, so the file is damaged. {HINT}"
            )
