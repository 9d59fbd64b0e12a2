"""Checked blocks on disk, from the reading to the encoding."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from deepfm_tf.data.stream import CheckedBlock, ordered_map, progress_bar
from deepfm_tf.files.bad_row import BadRow

_Result = TypeVar("_Result")


class SpilledBlocks:
    """Blocks that are read and checked once, and needed again.

    Values can be encoded only when all of them have been counted. Until then
    the blocks wait here, their columns as codes and distinct values, which
    is smaller than the text and needs no parsing.

    Args:
        directory: an empty directory of their own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        self._num_rows: dict[int, int] = {}

    def write(self, block: CheckedBlock) -> None:
        """Keep a block; may be called from several threads."""
        label = np.asarray(block.label)
        targets = [label] if block.weight is None else [label, block.weight]
        columns = [pa.array(c) for c in (*block.columns.values(), *targets)]
        # Numbers, because a field may have any name.
        names = [str(number) for number in range(len(columns))]
        batch = pa.record_batch(columns, names=names)
        metadata = {
            "names": json.dumps(list(block.columns)),
            "rejected": json.dumps(block.rejected),
            "num_sampled_out": str(block.num_sampled_out),
        }
        schema = batch.schema.with_metadata(metadata)
        path = self._path(block.number)
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            writer.write_batch(batch.replace_schema_metadata(metadata))
        self._num_rows[block.number] = len(label)

    def map_blocks(
        self,
        function: Callable[[CheckedBlock], _Result],
        progress: str = "",
        is_last: bool = True,
    ) -> Iterator[_Result]:
        """As `Reading.map_blocks`; the last time each block is deleted."""
        numbers = sorted(self._num_rows)
        stops = itertools.accumulate(self._num_rows[n] for n in numbers)
        first_rows = dict(zip(numbers, [0, *stops], strict=False))

        def work(number: int) -> tuple[int, _Result]:
            block = self._read(number)
            block = dataclasses.replace(block, first_row=first_rows[number])
            result = function(block)
            if is_last:
                self._path(number).unlink()
            return self._num_rows[number], result

        total = sum(self._num_rows.values())
        with progress_bar(progress, total, " rows") as bar:
            for num_rows, result in ordered_map(work, numbers):
                bar.update(num_rows)
                yield result

    def _read(self, number: int) -> CheckedBlock:
        with pa.memory_map(str(self._path(number))) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        metadata = batch.schema.metadata
        names = json.loads(metadata[b"names"])
        columns = [_column(column) for column in batch.columns]
        label, weight, *_ = *columns[len(names) :], None
        rejected = [BadRow(*row) for row in json.loads(metadata[b"rejected"])]
        by_name = dict(zip(names, columns, strict=False))
        return CheckedBlock(
            number,
            by_name,
            label,
            rejected,
            weight,
            int(metadata[b"num_sampled_out"]),
        )

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.arrow"


def _column(column: pa.Array) -> Any:
    if pa.types.is_dictionary(column.type):
        return column
    return column.to_numpy(zero_copy_only=False)
