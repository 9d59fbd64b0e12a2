"""Parts of a source by time: train on the past, test on what came after."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.data.reading.columns import flatten
from deepfm_tf.data.reading.kept_cuts import KeptCuts
from deepfm_tf.data.reading.on_error import check_on_error
from deepfm_tf.data.reading.part import check_negatives
from deepfm_tf.errors import Argument, UserError, with_known_arguments
from deepfm_tf.fields.field import as_tuple
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.files.readers import Source, list_files, read_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.files.urls import is_url
from deepfm_tf.raw_values import (
    MISSING_NUMBERS,
    Bad,
    missing_to_null,
    to_texts,
)
from deepfm_tf.seeds import check_seed
from deepfm_tf.timestamps import NO_MOMENT, NOT_A_TIME, moments

# Cuts are exact up to this many rows; beyond, they come from a uniform sample
# of this size (rank error about 1/sqrt(size), 0.2 %).
SAMPLE_ROWS = 262_144


@with_known_arguments
@dataclasses.dataclass(frozen=True)
class TimePart:
    """The rows of a source whose time lies in an interval.

    Made by `split_by_time`. Rows without a time belong to no part: `prepare`
    refuses them, or rejects them with those of the first part.

    Args:
        column: str. The column of the times; need not be a field.
        start: int or None. The first moment that belongs to the part, in
            microseconds since 1970 (UTC). `None`: all from the beginning.
        stop: int or None. The first moment after it. `None`: all to the end.
        seed: int. Of `negative_sampling`.
        negative_sampling: float in (0, 1]. As of `Part`.
    """

    column: str
    start: int | None
    stop: int | None
    seed: int = 0
    negative_sampling: float = 1.0

    def __post_init__(self) -> None:
        if None not in (self.start, self.stop) and self.start >= self.stop:  # type: ignore[operator]
            raise UserError(
                "A part must have start < stop. Received: "
                f"start={self.start}, stop={self.stop}."
            )
        check_negatives(self.negative_sampling)
        object.__setattr__(self, "seed", check_seed(self.seed))

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be read to know which rows belong to the part."""
        return (self.column,)

    @property
    def is_first(self) -> bool:
        """Whether broken lines, which have no time, are this part's."""
        return self.start is None

    def rows(self, table: pa.Table, block: int) -> Array:
        """Which rows of a block belong to the part (ascending numbers)."""
        return self.choose(table, block, ())[0]

    def choose(
        self, table: pa.Table, block: int, missing_values: Sequence[str]
    ) -> tuple[Array, Bad]:
        """The same, and the rows without a time, and why they have none."""
        times, bad = _times(
            table.column(self.column), self.column, missing_values
        )
        belongs = times != NO_MOMENT
        if self.start is not None:
            belongs &= times >= self.start
        if self.stop is not None:
            belongs &= times < self.stop
        return np.flatnonzero(belongs), bad


def split_by_time(
    source: Source,
    column: str,
    shares: Sequence[float] = (0.8, 0.9),
    *,
    text_format: TextFormat | None = None,
    on_error: str = "raise",
    missing_values: Sequence[str] = (),
    kept: str | Path | None = None,
) -> tuple[TimePart, ...]:
    """Parts that follow each other in time: train, valid and test.

    One pass over the column finds the moments at which the wanted shares of
    the rows are reached. Rows of one moment stay together, so a part may be a
    little larger or smaller, but no row of a part is later than any of the
    next one.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays.
        column: str. The times: see `TimestampField` for what they may be. A
            text without a zone counts as UTC.
        shares: ascending. Where the parts are cut; the last ends at 1.
        text_format: layout of text files.
        on_error: `"raise"`, or `"skip"`: rows without a time are left
            out, and a warning tells how many. Give `prepare` the same; it
            counts them, and writes them to the first part's `rejected.csv`.
        missing_values: those of the schema, which may look like times.
        kept: file that keeps where the source was cut. Files that cannot have
            changed since are then not read again. Defaults to None: none.

    Returns:
        TimePart objects, one more than there are shares, for `prepare`.

    Example:

    >>> from deepfm_tf.data import split_by_time
    >>> days = [f"2024-01-{day:02}" for day in range(1, 11)]
    >>> train, valid, test = split_by_time({"day": days}, "day")
    >>> np.datetime64(test.start, "us").item().day
    10
    """
    check_on_error(on_error)
    missing_values = as_tuple(missing_values)
    keeper = None
    files = None if kept is None else list_files(source)
    # Whether a store's files are as before, only the store knows.
    if kept is not None and files and not any(map(is_url, files)):
        decides = {
            "column": column,
            "shares": list(shares),
            "text_format": dataclasses.asdict(text_format or TextFormat()),
            "on_error": on_error,
            "missing_values": list(missing_values),
        }
        keeper = KeptCuts(kept, files, decides)
        if (known := keeper.load()) is not None:
            return _parts(column, *known)
    sample, num_left_out = _Sample(), 0
    for number, block in enumerate(read_blocks(source, [column], text_format)):
        table, _ = block.read([column])
        times, bad = _times(table.column(column), column, missing_values)
        if bad and on_error != "skip":
            row = min(bad)
            ((line, text),) = block.locate([row])
            cell = BadRow(block.source, line, *bad[row], text, block.unit)
            raise UserError(
                f"{cell} Fix the row, or pass ",
                Argument("on_error", "skip"),
                " to leave such rows out.",
            )
        num_left_out += len(bad)
        sample.add(times[times != NO_MOMENT], number)
    cuts = _cuts(sample.numbers, shares, column)
    if keeper is not None:
        keeper.save(cuts, num_left_out)
    return _parts(column, cuts, num_left_out)


def _parts(
    column: str, cuts: Sequence[int], num_left_out: int
) -> tuple[TimePart, ...]:
    """The parts between the cuts, for the caller of `split_by_time`."""
    if num_left_out:
        warnings.warn(
            f"{num_left_out:,} rows have no readable time in '{column}'. "
            "They are in no part, and are rejected with those of the first "
            "part.",
            stacklevel=3,
        )
    ends = [None, *cuts, None]
    return tuple(
        TimePart(column, start, stop)
        for start, stop in zip(ends, ends[1:], strict=False)
    )


def _times(
    column: pa.ChunkedArray, name: str, missing_values: Sequence[str]
) -> tuple[Array, Bad]:
    """Moments of a column of any type; the rows that have none, and why."""
    bad: Bad = {}
    raw = flatten(column)
    texts = to_texts(raw, name, bad)
    marks = (*missing_values, *MISSING_NUMBERS, NOT_A_TIME)
    texts = missing_to_null(texts, marks)
    times = moments(texts)
    for row in np.flatnonzero(times == NO_MOMENT).tolist():
        if row in bad:
            _, value, why = bad[row]
        else:
            value = texts[row].as_py()
            why = f"this is {value!r}" if value else "this is missing"
        reason = f"each row must have a time for the split, but {why}"
        bad[row] = (name, value or "", reason)
    return times, bad


def _cuts(times: Array, shares: Sequence[float], column: str) -> list[int]:
    """Ascending moments, so that no part is empty."""
    moments_, counts = np.unique(times, return_counts=True)
    if len(moments_) <= len(shares):
        raise UserError(
            f"Column '{column}' must have at least {len(shares) + 1} "
            f"different times to be split by. Received: {len(moments_)}. "
            "Name a file for each part instead."
        )
    # The share of the rows before each moment.
    before = (np.cumsum(counts) - counts) / counts.sum()
    cuts: list[int] = []
    first = 1
    for place, share in enumerate(shares):
        # As many moments must be left as there are cuts to come.
        last = len(moments_) - (len(shares) - 1 - place)
        nearest = np.abs(before[first:last] - share).argmin()
        first += int(nearest)
        cuts.append(int(moments_[first]))
        first += 1
    return cuts


class _Sample:
    """Numbers of which each had the same chance to stay."""

    def __init__(self) -> None:
        self.numbers: Array = np.empty(0, np.int64)
        self._priorities: Array = np.empty(0)

    def add(self, numbers: Array, block: int) -> None:
        priorities = np.random.default_rng(block).random(len(numbers))
        self.numbers = np.concatenate([self.numbers, numbers])
        self._priorities = np.concatenate([self._priorities, priorities])
        if len(self.numbers) > SAMPLE_ROWS:
            kept = np.argpartition(self._priorities, SAMPLE_ROWS)[:SAMPLE_ROWS]
            self.numbers = self.numbers[kept]
            self._priorities = self._priorities[kept]
