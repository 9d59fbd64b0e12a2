"""The second map of a preparation: rows encoded and written, shard by shard."""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.manifest import VOCABULARY_DIRECTORY, shard_file
from deepfm_tf.data.prepared.packing import BLOCK_ROWS, PADDING, RowLayout
from deepfm_tf.data.reading.out_of_fold import OutOfFold
from deepfm_tf.data.reading.spill import Piece, SpilledBlocks, pieces_of
from deepfm_tf.data.reading.stream import ordered_map
from deepfm_tf.drift import DataCounts, FieldCounts
from deepfm_tf.vocabulary import Vocabulary

# Blocks of 256 rows in a shard: half a million rows.
SHARD_BLOCKS = 2048


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard, to be written by whoever gets it.

    Args:
        number: int.
        pieces: which rows of which blocks.
        spilled: where the blocks are.
        directory: the new directory, its vocabulary in it already.
        folds: where `OutOfFold` was saved, or None.
    """

    number: int
    pieces: tuple[Piece, ...]
    spilled: SpilledBlocks
    directory: Path
    folds: Path | None


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard that was written.

    Attributes:
        name: str. Of its file.
        size: int. Its bytes.
        checksums: bytes. Of its blocks.
        num_rows: int. Without padding.
        counts: what the rows hold of each field.
    """

    name: str
    size: int
    checksums: bytes
    num_rows: int
    counts: dict[str, FieldCounts]


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What turns checked rows into packed ones.

    Args:
        vocabulary: Vocabulary.
        encodings: OutOfFold, for training data whose fields have some.
    """

    vocabulary: Vocabulary
    encodings: OutOfFold | None = None

    def encode(
        self, spilled: SpilledBlocks, piece: Piece
    ) -> tuple[Array, DataCounts]:
        """The packed rows of a piece, and what they hold."""
        block = spilled.read(piece)
        places = self.encodings.encoder(block) if self.encodings else None
        vocabulary = self.vocabulary
        packed, own = DataCounts.encode(vocabulary, block.columns, places)
        layout = RowLayout.of(vocabulary.schema)
        rows = layout.pack(packed, np.asarray(block.label), block.weight)
        return rows, own


def shard_tasks(
    rows: Mapping[int, int],
    spilled: SpilledBlocks,
    directory: Path,
    folds: Path | None = None,
) -> list[ShardTask]:
    """The shards that blocks of some numbers of rows make together.

    Args:
        rows: number of a block -> its rows.
        spilled, directory, folds: as of ShardTask.
    """
    size = SHARD_BLOCKS * BLOCK_ROWS
    shards: dict[int, list[Piece]] = {}
    for block, _, num_rows, first in pieces_of(rows):
        start = 0
        while start < num_rows:
            number, place = divmod(first + start, size)
            stop = min(num_rows, start + size - place)
            piece = Piece(block, start, stop, first + start)
            shards.setdefault(number, []).append(piece)
            start = stop
    return [
        ShardTask(number, tuple(pieces), spilled, directory, folds)
        for number, pieces in shards.items()
    ]


def write_shard(task: ShardTask) -> Shard:
    """Encode the rows of one shard and write it, with one CPU.

    A pure function but for its file, which is the same each time.
    """
    encoder = _load(task.directory / VOCABULARY_DIRECTORY, task.folds)
    (shard,) = write_shards([task], encoder, workers=1)
    return shard


def write_shards(
    tasks: Sequence[ShardTask],
    encoder: Encoder,
    workers: int | None = None,
    advance: Callable[[int], Any] = lambda num_rows: None,
) -> Iterator[Shard]:
    """`write_shard` of each, rows in parallel, results in order.

    Args:
        tasks: the shards.
        encoder: Encoder of their rows.
        workers: int or None. Threads; None takes all CPUs.
        advance: told of the number of rows that are written.
    """
    pieces = ((task, piece) for task in tasks for piece in task.pieces)
    encoded = ordered_map(
        lambda item: encoder.encode(item[0].spilled, item[1]), pieces, workers
    )
    layout = RowLayout.of(encoder.vocabulary.schema)
    for task in tasks:
        counts = DataCounts(encoder.vocabulary)
        with ShardWriter(task.directory, task.number, layout) as writer:
            for _ in task.pieces:
                rows, own = next(encoded)
                writer.write(rows)
                counts.merge(own)
                advance(len(rows))
        yield Shard(
            shard_file(task.number),
            writer.size,
            writer.checksums,
            writer.num_rows,
            counts.fields,
        )


@functools.lru_cache(maxsize=1)
def _load(directory: Path, folds: Path | None) -> Encoder:
    """Read once by a process for all shards that it writes."""
    vocabulary = Vocabulary.load(directory)
    if folds is None:
        return Encoder(vocabulary)
    return Encoder(vocabulary, OutOfFold.load(folds, vocabulary))


class ShardWriter:
    """Writes the rows of one shard as whole blocks, with a checksum of each.

    The last block is filled up with padding. The file appears when it is
    whole.

    Args:
        directory: where to.
        number: int. Of the shard.
        layout: RowLayout of the rows.

    Attributes:
        size, checksums, num_rows: as of `Shard`.
    """

    def __init__(self, directory: Path, number: int, layout: RowLayout) -> None:
        self.size = self.num_rows = 0
        self.checksums = b""
        self._layout = layout
        self._path = directory / shard_file(number)
        # Beside the directory, where nothing that is left does any harm: a
        # task may run twice, and one of them be killed.
        name = f"{self._path.name}.{secrets.token_hex(8)}"
        self._unfinished = directory.with_name(name)
        self._rest: Array = np.empty((0, layout.width), dtype="<i4")
        self._file: BinaryIO = open(self._unfinished, "wb")

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, rows: Array) -> None:
        """Write some rows (rows, width) int32."""
        self.num_rows += len(rows)
        self._write(rows)

    def _write(self, rows: Array) -> None:
        rows = np.concatenate([self._rest, rows])
        whole = len(rows) - len(rows) % BLOCK_ROWS
        self._rest = rows[whole:].copy()
        data = rows[:whole].reshape(-1).view(np.uint8)
        self._file.write(data.data)
        self.size += len(data)
        self.checksums += block_checksums(data, self._layout).tobytes()

    def __exit__(self, kind: Any, *_: Any) -> None:
        with self._file:
            if kind is not None:
                return
            if len(self._rest):
                count = BLOCK_ROWS - len(self._rest)
                padding = np.zeros((count, self._layout.width), dtype="<i4")
                padding[:, 0] = PADDING
                self._write(padding)
            self._file.flush()
            os.fsync(self._file.fileno())
        os.replace(self._unfinished, self._path)
