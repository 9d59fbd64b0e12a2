"""How much of a fresh sample a vocabulary does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def expected_unseen(
    counted: pa.Table,
    kept: pa.Table,
    min_count: int,
    own: pa.Table | None = None,
) -> dict[str, int]:
    """What training data say of the unseen values to come.

    Training's own OOV share is no yardstick for other data: with
    `min_count=1` it is 0, and a fresh sample still holds new values. So each
    occurrence is left out once, and looked up in the vocabulary of the rest:
    it would be unseen if its value occurs at most `min_count` times. The
    share of such occurrences estimates the share of a fresh sample from the
    same population, without bias for a training set of one row less. For
    `min_count=1` it is the share of the values seen once, Turing's estimate.

    Args:
        counted: `value` and `count` of all distinct values.
        kept: those of the vocabulary, by descending count.
        min_count: int. Of the vocabulary.
        own: as `counted`, of one of several fields that share it.

    Returns:
        `values`, the occurrences; `oov`, those outside the vocabulary;
        `oov_expected`, those that would be without themselves.

    Example:

    >>> def table(counts):
    ...     return pa.table(
    ...         {"value": list(counts), "count": list(counts.values())}
    ...     )
    >>> counted = table({"a": 5, "b": 2, "c": 1})
    >>> expected_unseen(counted, table({"a": 5, "b": 2}), min_count=2)
    {'values': 8, 'oov': 1, 'oov_expected': 3}

    Reference:
        [Good, 1953](https://doi.org/10.1093/biomet/40.3-4.237), equation 9,
        summed up to `min_count`.
    """
    frequent = pc.greater_equal(counted["count"], min_count)
    least = min_count
    if kept.num_rows and kept.num_rows < pc.sum(frequent).as_py():
        # A cap on the size cut off values of about the last one's count.
        least = max(min_count, kept["count"][-1].as_py())
    is_safe = pc.greater(kept["count"], least)
    total = _sum((counted if own is None else own)["count"])
    return {
        "values": total,
        "oov": total - _sum(_part(own, kept)),
        "oov_expected": total - _sum(_part(own, kept, is_safe)),
    }


def expected_of(statistics: Mapping[str, Any]) -> tuple[float, float] | None:
    """Unseen values that training leads one to expect, and of how many.

    Args:
        statistics: of a field, in a Vocabulary.
    """
    if "minimum" in statistics:
        total = statistics["rows"] - statistics["missing"]
        return min(2, total), total
    if "oov_expected" in statistics:
        return statistics["oov_expected"], statistics["values"]
    return None  # hashed, or counted before this was


def training_counts(
    statistics: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """What training leads one to expect of each field, as plain data.

    Args:
        statistics: of a Vocabulary.

    Returns:
        Field -> `missing` of `rows`; where values can be unseen, `unseen` of
        `values`; of numbers, the least (`minimum`) and the largest.
    """
    found = {}
    for name, entry in statistics.items():
        found[name] = {k: entry.get(k, 0) for k in ("missing", "rows")}
        unseen = expected_of(entry)
        if unseen is not None:
            found[name] |= {"unseen": unseen[0], "values": unseen[1]}
        ends = ("minimum", "maximum")
        found[name] |= {k: entry[k] for k in ends if k in entry}
    return found


def _part(
    own: pa.Table | None, kept: pa.Table, mask: pa.ChunkedArray | None = None
) -> pa.ChunkedArray:
    """The counts of these values, in one field if there are several."""
    column = kept["count" if own is None else "value"]
    if mask is not None:
        column = column.filter(mask)
    if own is None:
        return column
    return own["count"].filter(pc.is_in(own["value"], value_set=column))


def _sum(counts: pa.ChunkedArray) -> int:
    return int(pc.sum(counts, min_count=0).as_py())
