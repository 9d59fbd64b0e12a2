"""A raw source as a stream of checked blocks, read in parallel, in order."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import tqdm

from deepfm_tf.arrays import Array
from deepfm_tf.cpus import num_cpus
from deepfm_tf.data.reading.columns import CheckedColumns, check_columns
from deepfm_tf.data.reading.on_error import check_on_error
from deepfm_tf.data.reading.part import Part, sample_negatives
from deepfm_tf.data.reading.time_split import TimePart
from deepfm_tf.drift import DataCounts, compare_counts, warn_of_drift
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.content import compression_of
from deepfm_tf.files.paths import absolute
from deepfm_tf.files.readers import (
    Block,
    Source,
    list_files,
    numbered_blocks,
)
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.files.urls import is_url, size_of
from deepfm_tf.raw_values import Bad
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Columns, Vocabulary, take_rows

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class CheckedBlock:
    """The checked columns of some rows, and the rows left out.

    Args:
        number: int. Of the block.
        columns, label, weight: of the rows that are kept.
        rejected: the rows that cannot be read.
        num_sampled_out: int. Negatives that the part does not keep.
        first_row: int. Rows of the blocks before it, of one that was spilled.
    """

    number: int
    columns: Columns
    label: Array | None
    rejected: list[BadRow]
    weight: Array | None = None
    num_sampled_out: int = 0
    first_row: int = 0

    @property
    def num_rows(self) -> int:
        """Rows that are kept."""
        return len(next(iter(self.columns.values())))


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a source is read: everything but what is done with the rows.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        schema: the Schema.
        text_format: layout of text files.
        part: the share of the rows to read. `None` reads all.
        on_error: `"raise"`, or `"skip"` bad rows and report them.
        with_label: bool. Whether the label and the example weight are read
            too.
        first_file: int. The number of the first file, where these are some
            of many.
    """

    source: Source
    schema: Schema
    text_format: TextFormat | None = None
    part: Part | TimePart | None = None
    on_error: str = "raise"
    with_label: bool = True
    first_file: int = 0

    def __post_init__(self) -> None:
        check_on_error(self.on_error)

    @property
    def columns(self) -> list[str]:
        """What must be read: of the schema, and of the part."""
        names = [f.name for f in self.schema.fields]
        if self.with_label:
            names += self.schema.target_columns
        if self.part is not None:
            names += self.part.columns
        return list(dict.fromkeys(names))

    @property
    def negative_sampling(self) -> float:
        """The share of the rows with label 0 that is kept."""
        return 1.0 if self.part is None else self.part.negative_sampling

    def by_file(self, is_elsewhere: bool = False) -> list[Reading]:
        """Readings of one file each; of what is in memory, this one.

        Args:
            is_elsewhere: bool. Whether others read them, who may be in
                another folder.
        """
        files = list_files(self.source)
        if files is None:
            return [self]
        if is_elsewhere:
            files = [absolute(path) for path in files]
        return [
            dataclasses.replace(self, source=[path], first_file=number)
            for number, path in enumerate(files, self.first_file)
        ]

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """The blocks and their numbers, which decide what is drawn of them."""
        return numbered_blocks(
            self.source, self.columns, self.text_format, self.first_file
        )

    def map_blocks(
        self, function: Callable[[CheckedBlock], _Result]
    ) -> Iterator[_Result]:
        """`function` of each block, in worker threads; results in order."""
        return ordered_map(
            lambda item: function(self.check(*item)), self.blocks()
        )

    def check(
        self, number: int, block: Block, names: list[str] | None = None
    ) -> CheckedBlock:
        """Read and check a block; of `names`, if they are not our columns."""
        names = self.columns if names is None else names
        return self.check_rows(number, block, block.read(names))

    def check_rows(
        self, number: int, block: Block, read: tuple[pa.Table, list[BadRow]]
    ) -> CheckedBlock:
        """Check what `block.read` gave, which other parts may need too."""
        table, broken = read
        rejected = list(broken)
        rows: Array = np.arange(table.num_rows)
        cells: Bad = {}
        if self.part is not None:
            missing = self.schema.missing_values
            rows, cells = self.part.choose(table, number, missing)
            table = table.take(rows)
            if not self.part.is_first:
                # Rows of which nobody can say whose they are: the first's.
                rejected, cells = [], {}
        checked = check_columns(table, self.schema, self.with_label)
        cells |= {int(rows[row]): bad for row, bad in checked.bad.items()}
        wrong = sorted(cells)
        if self.on_error == "raise":
            wrong = wrong[:1]  # the first one ends it
        for row, (line, text) in zip(wrong, block.locate(wrong), strict=True):
            column, value, reason = cells[row]
            rejected.append(
                BadRow(
                    block.source, line, column, value, reason, text, block.unit
                )
            )
        rejected.sort(key=lambda row: row.line)
        if rejected and self.on_error == "raise":
            raise UserError(
                f"{rejected[0]} ",
                *_other_labels(rejected[0], self.schema),
                "Fix the row, or pass ",
                Argument("on_error", "skip"),
                " to leave such rows out, counted and written to a file.",
            )
        if checked.bad:
            good = np.delete(np.arange(len(rows)), sorted(checked.bad))
            checked = _take(checked, good)
        num_sampled_out, part = 0, self.part
        if checked.label is not None and part and part.negative_sampling < 1:
            sample = sample_negatives(
                checked.label, part.negative_sampling, part.seed, number
            )
            num_sampled_out = len(checked.label) - len(sample)
            checked = _take(checked, sample)
        return CheckedBlock(
            number,
            checked.columns,
            checked.label,
            rejected,
            checked.weight,
            num_sampled_out,
        )


def encode(
    source: Source,
    vocabulary: Vocabulary,
    *,
    text_format: TextFormat | None = None,
) -> dict[str, Array]:
    """Raw rows, with or without labels, as the packed inputs of a model.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        vocabulary: a fitted Vocabulary.
        text_format: layout of text files.

    Returns:
        What `model.predict` takes: see `Vocabulary.encode`.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> encode({"site": ["a", "unseen", ""]}, vocabulary)["ids"].tolist()
    [[3], [0], [1]]
    """
    reading = Reading(source, vocabulary.schema, text_format, with_label=False)
    parts, counts = [], DataCounts(vocabulary)
    for packed, own in reading.map_blocks(
        lambda block: DataCounts.encode(vocabulary, block.columns)
    ):
        parts.append(packed)
        counts.merge(own)
    if not parts:
        raise UserError("The data to encode must have at least one row.")
    warn_of_drift(compare_counts(counts), "the data to encode")
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }


def _take(checked: CheckedColumns, rows: Array) -> CheckedColumns:
    """Some of the rows, none of them bad."""
    columns = take_rows(checked.columns, rows)
    label, weight = (
        None if values is None else values[rows]
        for values in (checked.label, checked.weight)
    )
    return CheckedColumns(columns, label, {}, weight)


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int | None = None,
) -> Iterator[_Result]:
    """Like `map`, in threads, holding only a few items at a time.

    Args:
        function: called in the threads.
        items: what it is called with.
        workers: int or None. Threads; None takes as many as there are CPUs.
    """
    workers = workers or num_cpus()
    waiting: collections.deque[Future[_Result]] = collections.deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="deepfm_tf-data")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def progress_bar(description: str, total: int | None, unit: str) -> Any:
    """A bar with the rate and the time left; none without a description."""
    if not description:
        return contextlib.nullcontext(_NoBar())
    return tqdm.tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        delay=0.5,
        disable=None,
        leave=False,
    )


@contextlib.contextmanager
def reading_progress(
    description: str, source: Source
) -> Iterator[Callable[[int, int], None]]:
    """A bar, moved on by the size and the rows of what was read."""
    total, unit = _extent(source)
    with progress_bar(description, total, unit) as bar:
        begin, count = time.perf_counter(), 0

        def advance(size: int, num_rows: int) -> None:
            nonlocal count
            count += num_rows
            rate = count / (time.perf_counter() - begin)
            text = f"{count:,} rows, {rate:,.0f} rows/s"
            bar.set_postfix_str(text, refresh=False)
            bar.update(size)

        yield advance


def _extent(source: Source) -> tuple[int | None, str]:
    """How much there is to read, and of what."""
    files = list_files(source)
    if files is None:
        if isinstance(source, Mapping):
            first = next(iter(source.values()), ())
            return (len(first) if hasattr(first, "__len__") else None), " rows"
        return len(source), " rows"  # type: ignore[arg-type]
    # A compressed file is larger than it looks, and a store takes a while to
    # say how large one is: their bar has no end to show.
    if any(is_url(file) or compression_of(file) for file in files):
        return None, "B"
    return sum(map(size_of, files)), "B"


class _NoBar:
    def update(self, size: int) -> None:
        """Does nothing: no progress bar is shown."""

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        """Does nothing: no progress bar is shown."""


def _other_labels(bad: BadRow, schema: Schema) -> tuple[str | Argument, ...]:
    """How to name the labels, if it is the label that cannot be read."""
    if bad.column != schema.label:
        return ()
    return (
        "Other labels can be named: ",
        Argument("positive_labels"),
        ", ",
        Argument("negative_labels"),
        ". ",
    )
