"""How often each text of a field occurs."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.raw_values import drop_point_zero
from deepfm_tf.text_arrays import as_texts, hash_texts

# Distinct values waiting to be merged before a merge is worth its time.
MERGE_AT = 200_000
# More distinct values are kept in parts, and merged part by part: a merge
# takes several times the memory of what it merges.
SPLIT_AT = 2**21
_PART_BITS = 6


class ValueCounts:
    """How often each text occurs; memory grows with the distinct texts."""

    def __init__(self, may_split: bool = True) -> None:
        self._may_split = may_split
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        # What waits may be a slice, which would be sent as a whole.
        self.table()
        return self.__dict__

    @property
    def distinct(self) -> int:
        """How many texts there are."""
        return int(self.table().num_rows)

    def add(self, table: pa.Table) -> None:
        """Add what `count_table` gave."""
        self._append(table)

    def merge(self, other: ValueCounts) -> None:
        """Add the counts of another."""
        for part in other._parts or [other]:
            for table in (part._merged, *part._waiting):
                if table.num_rows:
                    self._append(table)

    def drop_point_zero(self, missing_values: Sequence[str]) -> None:
        """Count `7.0` as `7`; marks of missing values are no values."""
        table = self.table()
        texts = drop_point_zero(as_texts(table["value"]))
        is_missing = pc.is_in(
            texts, value_set=pa.array(missing_values, texts.type)
        )
        table = table.set_column(0, "value", texts)
        self._clear()
        self._append(table.filter(pc.invert(is_missing)))

    def kept(
        self, min_count: int, max_size: int | None, first_id: int
    ) -> pa.Table:
        """The counts that are kept, by descending count, then by text."""
        table = self.table()
        if min_count > 1:
            table = table.filter(pc.greater_equal(table["count"], min_count))
        table = table.combine_chunks()
        # Vocabularies are line by line, here and in the exported asset, so a
        # value with a line break in it cannot be a member: it is OOV.
        broken = pc.match_substring_regex(table["value"], "[\r\n]")
        if pc.any(broken).as_py():
            warnings.warn(
                f"{pc.sum(broken).as_py()} values contain a line break and "
                "are treated as OOV; the first one is "
                f"{table['value'].filter(broken)[0].as_py()!r}.",
                stacklevel=4,
            )
            table = table.filter(pc.invert(broken))
        table = table.sort_by([("count", "descending"), ("value", "ascending")])
        if max_size is not None:
            table = table.slice(0, max(0, max_size - first_id))
        return table

    def _clear(self) -> None:
        self._merged = _nothing()
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._parts: list[ValueCounts] = []

    def _append(self, table: pa.Table) -> None:
        if self._parts:
            pieces = _by_hash(table, len(self._parts))
            for part, piece in zip(self._parts, pieces, strict=True):
                part._append(piece)
            return
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows > max(MERGE_AT, self._merged.num_rows // 2):
            self.table()
        if self._may_split and self._merged.num_rows > SPLIT_AT:
            whole = self.table()
            self._clear()
            num_parts = 2**_PART_BITS
            self._parts = [ValueCounts(False) for _ in range(num_parts)]
            self._append(whole)

    def table(self) -> pa.Table:
        """`value` and `count` of all texts."""
        if self._parts:
            # In one piece from now on: whoever needs it so would copy it.
            whole = pa.concat_tables([part.table() for part in self._parts])
            self._clear()
            self._merged = whole.combine_chunks()
        if self._waiting:
            tables = pa.concat_tables([self._merged, *self._waiting])
            # Many times faster than a group_by and aggregate.
            values = as_texts(tables["value"]).dictionary_encode()
            # Sums in float64 are exact up to 2^53.
            counts = np.bincount(
                values.indices.to_numpy(zero_copy_only=False),
                weights=tables["count"].to_numpy(),
                minlength=len(values.dictionary),
            )
            self._merged = pa.table(
                {
                    "value": values.dictionary,
                    "count": pa.array(counts.astype(np.int64)),
                }
            )
            self._waiting, self._waiting_rows = [], 0
        return self._merged


@functools.cache
def _nothing() -> pa.Table:
    return count_table(pa.array([], pa.string()))


def _by_hash(table: pa.Table, num_parts: int) -> Iterator[pa.Table]:
    """The texts in parts, told by their first bits of hash."""
    hashes = hash_texts(as_texts(table["value"]))
    numbers = (hashes >> np.uint64(64 - _PART_BITS)).astype(np.uint8)
    table = table.take(pa.array(np.argsort(numbers, kind="stable")))
    stops = np.cumsum(np.bincount(numbers, minlength=num_parts)).tolist()
    for start, stop in zip([0, *stops], stops, strict=False):
        yield table.slice(start, stop - start)


def count_table(tokens: pa.Array) -> pa.Table:
    """The texts that occur, and how often; nulls are left out."""
    tokens = tokens.drop_null()
    if pa.types.is_dictionary(tokens.type):
        codes = tokens.indices.to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(tokens.dictionary))
        used = np.flatnonzero(counts)
        values = tokens.dictionary.take(pa.array(used))
        counts = pa.array(counts[used], pa.int64())
    else:
        counted = pc.value_counts(tokens)
        values, counts = counted.field("values"), counted.field("counts")
    # large_string: the distinct texts of a field may exceed 2 GB together.
    return pa.table({"value": as_texts(values), "count": counts})


def both(one: bool | None, other: bool | None) -> bool | None:
    """Whether both are true; None stands for no value yet."""
    if one is None:
        return other
    return one if other is None else one and other
