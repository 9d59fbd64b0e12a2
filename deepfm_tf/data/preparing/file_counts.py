"""The first map of a preparation: files read, checked and counted."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from deepfm_tf.counting.vocabulary_counts import VocabularyCounts
from deepfm_tf.data.reading.digests import digest_of
from deepfm_tf.data.reading.out_of_fold import OutOfFold
from deepfm_tf.data.reading.spill import SpilledBlocks
from deepfm_tf.data.reading.stream import Reading, ordered_map
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.readers import Block, Source
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class FileTask:
    """One input, to be read by whoever gets it.

    Args:
        reading: Reading of one file, or of what is in memory.
        spilled: where its checked blocks are kept for the second map.
        is_counted: bool. Whether a vocabulary is to be fitted.
        digest: str or None. Of the file, where it is known.
        name: str or None. What rejected rows call the file, where the reader
            may be in another folder than the one who named it.
        others: of other parts of the same input: each block is read once for
            all of them.
    """

    reading: Reading
    spilled: SpilledBlocks | None = None
    is_counted: bool = True
    digest: str | None = None
    name: str | None = None
    others: tuple[FileTask, ...] = ()


@dataclasses.dataclass
class FileCounts:
    """What was found in one input.

    Attributes:
        counts: VocabularyCounts of its rows.
        size: int. Bytes of it that were read.
        rows: number of a block -> rows that are kept of it.
        rejected: the rows that cannot be read.
        num_rejected: int. How many these are, or were.
        num_positives: int. Rows that are kept whose label is 1.
        num_sampled_out: int. Negatives that the part does not keep.
        digest: str. Of its contents.
        others: what was found for each of the task's `others`.
    """

    counts: VocabularyCounts
    size: int = 0
    rows: dict[int, int] = dataclasses.field(default_factory=dict)
    rejected: list[BadRow] = dataclasses.field(default_factory=list)
    num_rejected: int = 0
    num_positives: int = 0
    num_sampled_out: int = 0
    digest: str = ""
    others: list[FileCounts] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, task: FileTask) -> FileCounts:
        """What is found in nothing."""
        sampling = task.reading.negative_sampling
        counts = VocabularyCounts(task.reading.schema, sampling)
        return cls(counts, others=[cls.of(other) for other in task.others])

    def merge(self, other: FileCounts) -> None:
        """Add what was found in later rows."""
        self.counts.merge(other.counts)
        self.size += other.size
        self.rows |= other.rows
        self.rejected += other.rejected
        self.num_rejected += other.num_rejected
        self.num_positives += other.num_positives
        self.num_sampled_out += other.num_sampled_out
        for own, more in zip(self.others, other.others, strict=True):
            own.merge(more)


def fit_vocabulary(
    source: Source,
    schema: Schema,
    *,
    text_format: TextFormat | None = None,
    on_error: str = "raise",
) -> Vocabulary:
    """Count the values of training data and fit the schema's scalings.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays:
            training data only.
        schema: the Schema.
        text_format: layout of text files.
        on_error: `"raise"` or `"skip"`, for rows that cannot be read.

    Returns:
        Vocabulary. With `encodings` in the schema, the source is read twice.
    """
    reading = Reading(source, schema, text_format, None, on_error)
    total = VocabularyCounts(schema)
    tasks = [FileTask(one, digest="") for one in reading.by_file()]
    for found in count_files(tasks):
        total.merge(found.counts)
    vocabulary = total.finish()
    if any(field.encodings for field in schema.fields):
        vocabulary = OutOfFold.count(vocabulary, reading.map_blocks).vocabulary
    return vocabulary


def count_file(task: FileTask) -> FileCounts:
    """Read, check, count and keep one file, with one CPU.

    A pure function but for the blocks that it keeps, and these are the same
    each time: an engine may call it again where a worker was lost.
    """
    with _told_where(task.spilled):
        (found,) = count_files([task], workers=1)
        return found


def count_files(
    tasks: Sequence[FileTask],
    workers: int | None = None,
    advance: Callable[[int, int], None] = lambda size, num_rows: None,
) -> Iterator[FileCounts]:
    """`count_file` of each, block by block in parallel, results in order.

    What is added up in floating point is added up file by file, so that the
    sums do not depend on who reads the files.

    Args:
        tasks: the inputs, in order.
        workers: int or None. Threads; None takes all CPUs.
        advance: told of the size and the rows of each block.
    """

    def blocks() -> Iterator[tuple[int, int, Block]]:
        for place, task in enumerate(tasks):
            for number, block in task.reading.blocks():
                block.source = task.name or block.source
                yield place, number, block

    def work(item: tuple[int, int, Block]) -> tuple[int, FileCounts]:
        place, number, block = item
        task = tasks[place]
        read = block.read(task.reading.columns)
        found = _count_block(task, number, block, read)
        found.others = [
            _count_block(other, number, block, read) for other in task.others
        ]
        return place, found

    with _digesting(tasks) as digests:
        done = ordered_map(work, blocks(), workers)
        waiting = next(done, None)
        for place, task in enumerate(tasks):
            result = FileCounts.of(task)
            while waiting is not None and waiting[0] == place:
                found = waiting[1]
                result.merge(found)
                advance(found.size, sum(found.rows.values()))
                waiting = next(done, None)
            result.digest = digests[place].result()
            yield result


def _count_block(
    task: FileTask, number: int, block: Block, read: Any
) -> FileCounts:
    """What a task finds in a block, of which `read` was read."""
    checked = task.reading.check_rows(number, block, read)
    found = FileCounts.of(dataclasses.replace(task, others=()))
    found.size = block.size
    found.rows[number] = checked.num_rows
    found.rejected += checked.rejected
    found.num_rejected = len(checked.rejected)
    found.num_positives += int(np.count_nonzero(np.asarray(checked.label)))
    found.num_sampled_out += checked.num_sampled_out
    if task.is_counted:
        found.counts.count(checked.columns, number, checked.label)
    if task.spilled is not None:
        task.spilled.write(checked)
    return found


@contextlib.contextmanager
def _digesting(tasks: Sequence[FileTask]) -> Iterator[list[Future[str]]]:
    """The digests, of contents that are read at the same time."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="deepfm_tf-digest")
    try:
        yield [
            pool.submit(digest_of, task.reading, task.digest, stop)
            for task in tasks
        ]
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _told_where(spilled: SpilledBlocks | None) -> Iterator[None]:
    """What is not there is not there on one host of many: on which."""
    host = socket.gethostname()
    if spilled is not None and not spilled.is_there:
        raise UserError(
            "`directory` must be a path that every worker has mounted, and "
            f"the caller of `prepare` too. Received: {spilled.directory}, "
            f"which {host} does not have. Name a folder on a shared disk.",
            argument="directory",
        )
    try:
        yield
    except MissingFileError as error:
        raise MissingFileError(
            f"{error} So it is on {host}: every worker must see the files "
            "under the same names."
        ) from error
