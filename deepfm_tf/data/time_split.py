"""Parts of a source by time: train on the past, test on what came after."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from deepfm_tf.data.columns import flatten
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.readers import Source, read_blocks
from deepfm_tf.files.text import TextFormat
from deepfm_tf.raw_values import Bad, cell_text, to_texts
from deepfm_tf.timestamps import NO_MOMENT, moments

# Cuts are exact up to this many rows; beyond, they come from a uniform sample
# of this size (rank error about 1/sqrt(size), 0.2 %).
_SAMPLE = 262_144


@dataclasses.dataclass(frozen=True)
class TimePart:
    """The rows of a source whose time lies in an interval.

    Made by `split_by_time`. Rows without a time belong to no part.

    Args:
        column: str. The column of the times; need not be a field.
        start: int or None. The first moment that belongs to the part, in
            microseconds since 1970 (UTC). `None`: all from the beginning.
        stop: int or None. The first moment after it. `None`: all to the end.
        seed: int. Of `negatives`.
        negatives: float in (0, 1]. As of `Part`.
    """

    column: str
    start: int | None
    stop: int | None
    seed: int = 0
    negatives: float = 1.0

    def __post_init__(self) -> None:
        if None not in (self.start, self.stop) and self.start >= self.stop:  # type: ignore[operator]
            raise UserError(
                "A part must have start < stop. Received: "
                f"start={self.start}, stop={self.stop}."
            )
        if not 0.0 < self.negatives <= 1.0:
            raise UserError(
                "`negatives` must be the share of the negatives to keep, above "
                f"0 and at most 1. Received: negatives={self.negatives}."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be read to know which rows belong to the part."""
        return (self.column,)

    @property
    def is_first(self) -> bool:
        """Whether broken lines, which have no time, are this part's."""
        return self.start is None

    def rows(self, table: pa.Table, block: int) -> np.ndarray:
        """Which rows of a block belong to the part (ascending numbers)."""
        times, _ = _times(table.column(self.column), self.column)
        belongs = times != NO_MOMENT
        if self.start is not None:
            belongs &= times >= self.start
        if self.stop is not None:
            belongs &= times < self.stop
        return np.flatnonzero(belongs)

    def sample(self, label: np.ndarray, block: int) -> np.ndarray:
        """Which rows of the part in a block to keep, by their labels."""
        random = np.random.default_rng([self.seed, block, 1])
        draws = random.random(len(label))
        return np.flatnonzero((label != 0) | (draws < self.negatives))


def split_by_time(
    source: Source,
    column: str,
    shares: Sequence[float] = (0.8, 0.9),
    *,
    text_format: TextFormat | None = None,
    on_error: str = "raise",
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
            out, and a warning tells how many.

    Returns:
        TimePart objects, one more than there are shares, for `prepare`.

    Example:

    >>> from deepfm_tf.data import split_by_time
    >>> days = [f"2024-01-{day:02}" for day in range(1, 11)]
    >>> train, valid, test = split_by_time({"day": days}, "day")
    >>> np.datetime64(test.start, "us").item().day
    10
    """
    sample, num_left_out = _Sample(), 0
    for number, block in enumerate(read_blocks(source, [column], text_format)):
        table, _ = block.read([column])
        times, bad = _times(table.column(column), column)
        wrong = np.flatnonzero(times == NO_MOMENT)
        if len(wrong) and on_error != "skip":
            row = int(wrong[0])
            ((line, _),) = block.locate([row])
            value = cell_text(table.column(column)[row])
            reason = f"this is {value!r}" if value else "this is missing"
            if row in bad:
                reason = bad[row][2]
            raise UserError(
                f"{block.source}, {block.unit} {line}, column '{column}': "
                f"each row must have a time to be split by, but {reason}. Fix "
                "the row, or pass ",
                Argument("on_error", "skip"),
                " to leave such rows out.",
            )
        num_left_out += len(wrong)
        sample.add(times[times != NO_MOMENT], number)
    cuts = _cuts(sample.numbers, shares, column)
    if num_left_out:
        warnings.warn(
            f"Rows without a time in '{column}' that can be read are in no "
            f"part: {num_left_out:,}.",
            stacklevel=2,
        )
    ends = [None, *cuts, None]
    return tuple(
        TimePart(column, start, stop)
        for start, stop in zip(ends, ends[1:], strict=False)
    )


def _times(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, Bad]:
    """Moments of a column of any type, and the values that have no text."""
    bad: Bad = {}
    return moments(to_texts(flatten(column), name, bad)), bad


def _cuts(times: np.ndarray, shares: Sequence[float], column: str) -> list[int]:
    """Ascending moments, so that no part is empty."""
    moments_, counts = np.unique(times, return_counts=True)
    if len(moments_) <= len(shares):
        raise UserError(
            f"Column '{column}' must have at least {len(shares) + 1} different "
            f"times to be split by. Received: {len(moments_)}. Name files for "
            "the parts yourself."
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
        self.numbers: np.ndarray = np.empty(0, np.int64)
        self._priorities: np.ndarray = np.empty(0)

    def add(self, numbers: np.ndarray, block: int) -> None:
        priorities = np.random.default_rng(block).random(len(numbers))
        self.numbers = np.concatenate([self.numbers, numbers])
        self._priorities = np.concatenate([self._priorities, priorities])
        if len(self.numbers) > _SAMPLE:
            kept = np.argpartition(self._priorities, _SAMPLE)[:_SAMPLE]
            self.numbers = self.numbers[kept]
            self._priorities = self._priorities[kept]
