"""Checked blocks on disk, from the reading to the encoding."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from deepfm_tf.data.reading.stream import CheckedBlock, ordered_map

_Result = TypeVar("_Result")


class Piece(NamedTuple):
    """Some rows of a block.

    Args:
        block: int. Its number.
        start, stop: int. The first row, and that behind the last.
        first_row: int. Of the piece, among the rows of all blocks.
    """

    block: int
    start: int
    stop: int
    first_row: int


@dataclasses.dataclass(frozen=True)
class SpilledBlocks:
    """Blocks that are read and checked once, and needed again.

    Values can be encoded only when all of them have been counted. Until then
    the blocks wait here, their columns as codes and distinct values, which
    is smaller than the text and needs no parsing. Several processes, on
    several hosts, may write and read them.

    Args:
        directory: one of their own.
    """

    directory: Path

    @property
    def is_there(self) -> bool:
        """Whether this host has the directory."""
        return self.directory.is_dir()

    def write(self, block: CheckedBlock) -> None:
        """Keep a block, whole or not at all."""
        label = np.asarray(block.label)
        targets = [label] if block.weight is None else [label, block.weight]
        columns = [pa.array(c) for c in (*block.columns.values(), *targets)]
        # Numbers, because a field may have any name.
        names = [str(number) for number in range(len(columns))]
        batch = pa.record_batch(columns, names=names)
        metadata = {"names": json.dumps(list(block.columns))}
        schema = batch.schema.with_metadata(metadata)
        path = self.path(block.number)
        # A name of its own: a task may run twice, and one of them be killed.
        unfinished = path.with_suffix(f".{secrets.token_hex(8)}")
        with (
            pa.OSFile(str(unfinished), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            writer.write_batch(batch.replace_schema_metadata(metadata))
        unfinished.replace(path)

    def read(self, piece: Piece) -> CheckedBlock:
        """Some rows of a block; which ones were rejected is not kept."""
        with pa.memory_map(str(self.path(piece.block))) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        names = json.loads(batch.schema.metadata[b"names"])
        batch = batch.slice(piece.start, piece.stop - piece.start)
        columns = [_column(column) for column in batch.columns]
        label, weight, *_ = *columns[len(names) :], None
        by_name = dict(zip(names, columns, strict=False))
        return CheckedBlock(
            piece.block, by_name, label, [], weight, first_row=piece.first_row
        )

    def map_blocks(
        self,
        rows: Mapping[int, int],
        function: Callable[[CheckedBlock], _Result],
    ) -> Iterator[_Result]:
        """`function` of whole blocks, in worker threads; results in order.

        Args:
            rows: number of a block -> its rows.
            function: called in the threads.
        """
        return ordered_map(
            lambda piece: function(self.read(piece)), pieces_of(rows)
        )

    def path(self, number: int) -> Path:
        """Where a block is."""
        return self.directory / f"{number:016d}.arrow"


def pieces_of(rows: Mapping[int, int]) -> Iterator[Piece]:
    """Whole blocks, in the order of their numbers.

    Args:
        rows: number of a block -> its rows.
    """
    first = 0
    for number in sorted(rows):
        yield Piece(number, 0, rows[number], first)
        first += rows[number]


def _column(column: pa.Array) -> Any:
    if pa.types.is_dictionary(column.type):
        return column
    return column.to_numpy(zero_copy_only=False)
