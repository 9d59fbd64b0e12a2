"""Every metric for every value of a field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.metrics.reliability import equal_bins
from deepfm_tf.metrics.results import SliceMetrics
from deepfm_tf.metrics.rows import check_rows
from deepfm_tf.metrics.summary import binary_metrics

# Slices of a field of numbers.
NUM_BUCKETS = 10
MISSING = "missing"


class NamedIds(NamedTuple):
    """Values of a field as ids, for `slice_metrics`.

    Attributes:
        ids: (rows,) int, or (rows, values) where a row holds several; -1 is
            missing (of several: padding).
        names: what each id stands for. Ids beyond are called `id 7`.
        ordered: bool. Whether the slices come by ascending ids, in place of
            descending rows: the ids of buckets, say. Defaults to False.
    """

    ids: Array
    names: Sequence[str] = ()
    ordered: bool = False


def slice_metrics(
    label: Array,
    probability: Array,
    slices: Mapping[str, Any],
    weight: Array | None = None,
    *,
    groups: Array | None = None,
    max_values: int = 30,
    confidence: float | None = None,
) -> list[SliceMetrics]:
    """The metrics of the rows that have a value, for each value of fields.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        slices: field name -> its values in these rows: (rows,) of text,
            whole numbers or the like, each value a slice; (rows,) of floats,
            cut into ten buckets of about as many rows, NaN apart; or
            NamedIds. A row that holds several values is in several slices.
        weight: (rows,), at least 0. Defaults to 1 each. Rows of weight 0 are
            left out.
        groups, confidence: as for `binary_metrics`.
        max_values: int. Values of a field that have a slice of their own,
            the most frequent ones. The rest, if more than one, are in
            one slice, `other (... values)`. Defaults to 30: an hour of the
            day fits.

    Returns:
        The SliceMetrics of each slice, for `report.text_table`. Fields in the
        order given, their values by descending rows, buckets ascending.

    Raises:
        TypeError: `slices` is no mapping.
        ValueError: a column has another length than the labels.

    Example:

    >>> label, probability = np.array([0, 1, 1]), np.array([0.5, 0.5, 0.8])
    >>> for row in slice_metrics(label, probability, {"site": ["a", "a", "b"]}):
    ...     print(row["field"], row["value"], row["rows"], row["mean_label"])
    site a 2 0.5
    site b 1 1.0
    """
    label, probability, weight = check_rows(label, probability, weight)
    if max_values < 1:
        raise UserError(
            "`max_values` must be a positive integer. Received: "
            f"max_values={max_values}."
        )
    example_weight = np.ones(len(label)) if weight is None else weight
    if not isinstance(slices, Mapping):
        raise UserTypeError(
            "`slices` must be a mapping of names to columns, such as "
            f"{{'hour': hour}}. Received: {type(slices).__name__}."
        )
    table: list[SliceMetrics] = []
    for field, values in slices.items():
        for value, rows in _split(field, values, len(label), max_values):
            rows = rows[example_weight[rows] > 0]
            if not len(rows):
                continue
            metrics = binary_metrics(
                label[rows],
                probability[rows],
                None if weight is None else weight[rows],
                groups=None if groups is None else np.asarray(groups)[rows],
                confidence=confidence,
            )
            share = float(example_weight[rows].sum() / example_weight.sum())
            table.append(
                {"field": field, "value": value, "share": share, **metrics}
            )
    return table


def _split(
    field: str, values: Any, num_rows: int, max_values: int
) -> list[tuple[str, Array]]:
    """Name and rows of each slice."""
    several = isinstance(values, NamedIds)
    column = np.asarray(values.ids if several else values)
    if len(column) != num_rows or column.ndim not in (
        (1, 2) if several else (1,)
    ):
        raise UserError(
            f"Field '{field}': `slices` must hold one value for each of the "
            f"{num_rows} rows. Received: shape {column.shape}."
        )
    if several:
        rows, codes, names = _entries(column, values.names)
    elif np.issubdtype(column.dtype, np.floating):
        codes, names = _buckets(column)
        return _rows_by_code(np.arange(num_rows), codes, names)
    else:
        rows = np.arange(num_rows)
        codes, names = _distinct(column)
    counts = np.bincount(codes, minlength=len(names))
    if np.count_nonzero(counts) == max_values + 1:
        max_values += 1  # the one left over is as well told by its name
    # Ties by code, which is their order of appearance or of ids.
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    place = np.zeros(len(names), dtype=np.int64)
    if several and values.ordered:
        order[:max_values].sort()
    place[order] = np.minimum(np.arange(len(order)), max_values)
    kept = [names[code] for code in order[:max_values]]
    if len(order) > max_values:
        kept.append(f"other ({len(order) - max_values:,} values)")
    return _rows_by_code(rows, place[codes], kept)


def _rows_by_code(
    rows: Array, codes: Array, names: Sequence[str]
) -> list[tuple[str, Array]]:
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(names))
    parts = np.split(rows[order], np.cumsum(counts)[:-1])
    # A row of several rare values is in "other" once.
    return [
        (name, np.unique(part))
        for name, part in zip(names, parts, strict=True)
        if len(part)
    ]


def _entries(
    ids: Array, names: Sequence[str]
) -> tuple[Array, Array, list[str]]:
    """Rows, codes and names: an entry for each value that a row holds."""
    if not np.issubdtype(ids.dtype, np.integer):
        raise UserTypeError(f"`ids` must be integers. Received: {ids.dtype}.")
    ids = ids.reshape(len(ids), -1).astype(np.int64)
    present = ids >= 0
    # Of a row without any value, one entry says so.
    present[:, 0] |= ~present.any(axis=1)
    codes, inverse = np.unique(
        np.maximum(ids[present], -1), return_inverse=True
    )
    texts = [
        MISSING
        if code < 0
        else str(names[code])
        if code < len(names)
        else f"id {code}"
        for code in codes.tolist()
    ]
    return np.nonzero(present)[0], inverse.reshape(-1), texts


def _distinct(column: Array) -> tuple[Array, list[str]]:
    """Codes and names of values of any kind, compared as text."""
    numbers: dict[Any, int] = {}
    codes = np.fromiter(
        (numbers.setdefault(v, len(numbers)) for v in column.tolist()),
        dtype=np.int64,
        count=len(column),
    )
    texts: dict[str, int] = {}
    merged = np.array([texts.setdefault(_text(v), len(texts)) for v in numbers])
    return merged[codes], list(texts)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = str(value)
    # Absent values of Python and pandas, which are no text.
    return MISSING if text in ("None", "nan", "NaT", "<NA>") else text


def _buckets(column: Array) -> tuple[Array, list[str]]:
    """Codes and names of buckets of numbers, NaN last."""
    column = column.astype(np.float64)
    absent = np.isnan(column)
    numbers, inverse, counts = np.unique(
        column[~absent], return_inverse=True, return_counts=True
    )
    codes = np.zeros(len(column), dtype=np.int64)
    names: list[str] = []
    if len(numbers):
        # A value stays whole. Few values: each is a bucket.
        bins = np.arange(len(numbers))
        if len(numbers) > NUM_BUCKETS:
            bins = equal_bins(counts, NUM_BUCKETS)
        _, starts, bins = np.unique(
            bins, return_index=True, return_inverse=True
        )
        ends = np.append(starts[1:], len(numbers)) - 1
        names = _ranges(numbers[starts], numbers[ends])
        codes[~absent] = bins.reshape(-1)[inverse.reshape(-1)]
    codes[absent] = len(names)
    return codes, [*names, MISSING]


def _ranges(lows: Array, highs: Array) -> list[str]:
    """Texts with as few digits as keep the buckets apart."""
    names: list[str] = []
    for digits in range(3, 18):
        names = [
            short_number(low, max(digits, 6))
            if low == high
            else f"{short_number(low, digits)} to {short_number(high, digits)}"
            for low, high in zip(lows, highs, strict=True)
        ]
        if len(set(names)) == len(names):
            break
    return names


def short_number(x: float, digits: int = 3) -> str:
    """About so many digits; the whole part of a number never loses any.

    Example:

    >>> [short_number(x) for x in (0.12345, 12.3456, 1234.56, 2e6, -0.0)]
    ['0.123', '12.3', '1235', '2000000', '0']
    """
    if abs(x) >= 1e15 or x == 0:
        return f"{x + 0.0:.{digits}g}"  # no -0
    whole = 1 + math.floor(math.log10(abs(x)))
    return f"{x:.{max(digits, whole)}g}"
