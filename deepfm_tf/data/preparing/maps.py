"""Who runs the two maps of a preparation: threads here, or an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from deepfm_tf.data.preparing.file_counts import (
    FileCounts,
    FileTask,
    count_file,
    count_files,
)
from deepfm_tf.data.preparing.shard_writer import (
    Encoder,
    Shard,
    ShardTask,
    write_shard,
    write_shards,
)
from deepfm_tf.data.reading.stream import (
    Reading,
    progress_bar,
    reading_progress,
)
from deepfm_tf.errors import UserTypeError
from deepfm_tf.files.readers import list_files


class Maps:
    """The maps, with a progress bar each; results come in order.

    Args:
        executor: what runs tasks elsewhere, or None.
    """

    def __init__(self, executor: Executor | None) -> None:
        if executor is not None and not hasattr(executor, "map"):
            raise UserTypeError(
                "`executor` must be a concurrent.futures.Executor, such as "
                "the `get_executor()` of a Dask client. Received: "
                f"{type(executor)}.",
                argument="executor",
            )
        self._executor = executor
        self.run: Callable[..., Iterable[Any]] = (
            map if executor is None else executor.map
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether tasks may run on other hosts."""
        return self._executor is not None

    def count(
        self, tasks: Sequence[FileTask], reading: Reading
    ) -> Iterator[FileCounts]:
        """What `count_file` finds; `reading` is of all of them."""
        files = list_files(reading.source)
        with reading_progress("Reading", reading.source) as advance:
            if self._executor is None or files is None:
                yield from count_files(tasks, advance=advance)
                return
            for found in self._executor.map(count_file, tasks):
                advance(found.size, sum(found.rows.values()))
                yield found

    def write(
        self, tasks: Sequence[ShardTask], encoder: Encoder, num_rows: int
    ) -> Iterator[Shard]:
        """What `write_shard` writes; `num_rows` are those of all shards."""
        with progress_bar("Encoding", num_rows, " rows") as bar:
            if self._executor is None:
                yield from write_shards(tasks, encoder, advance=bar.update)
                return
            for shard in self._executor.map(write_shard, tasks):
                bar.update(shard.num_rows)
                yield shard
