"""Counts over partitions of the training data, merged into a Vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.counting.moments import Moments
from deepfm_tf.counting.quantile_sample import QuantileSample
from deepfm_tf.counting.value_counts import ValueCounts, both, count_table
from deepfm_tf.drift.clocks import ClockCounts
from deepfm_tf.drift.expected import expected_unseen
from deepfm_tf.errors import UserError
from deepfm_tf.fields import BucketizedField, Field
from deepfm_tf.raw_values import (
    are_whole_numbers,
    split_values,
)
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import (
    MISSING_ID,
    NEGATIVES,
    WHOLE_NUMBERS,
    Columns,
    Vocabulary,
    take_rows,
)
from deepfm_tf.vocabulary.buckets import bucket_texts
from deepfm_tf.vocabulary.seen_values import SeenValues


class VocabularyCounts:
    """What one partition, or several merged ones, say about a schema.

    `count` is a map over partitions and `merge` an associative sum, so any
    engine may run them; `finish` turns the total into a `Vocabulary`.

    Args:
        schema: the Schema to be fitted.
        negative_sampling: float in (0, 1]. The share that was kept of the
            rows whose label is 0. Below 1, what they hold is kept apart, so
            that other data can be compared with all of them.

    Example:

    >>> import pyarrow as pa
    >>> from deepfm_tf import CategoricalField, Schema
    >>> schema = Schema((CategoricalField("site", min_count=2),), "click")
    >>> counts = VocabularyCounts(schema)
    >>> counts.count({"site": pa.array(["a", "b", "b", None])}, partition=0)
    >>> counts.finish().values["site"].tolist()
    ['b']
    """

    def __init__(self, schema: Schema, negative_sampling: float = 1.0) -> None:
        self.schema = schema
        self.negative_sampling = negative_sampling
        self._negatives: VocabularyCounts | None = None
        if negative_sampling < 1:
            self._negatives = VocabularyCounts(schema)
        self.rows = 0
        self._missing = {f.name: 0 for f in schema.fields}
        self._values = {
            f.name: ValueCounts() for f in schema.table_fields if f.is_counted
        }
        # What each field of a shared vocabulary has of it.
        self._own = {
            f.name: ValueCounts()
            for f in schema.fields
            if _is_shared(f, schema) and schema.owner(f).name in self._values
        }
        self._moments = {
            f.name: Moments() for f in schema.fields if not f.is_text
        }
        self._samples = {
            f.name: QuantileSample()
            for f in schema.fields
            if isinstance(f, BucketizedField) and f.method == "quantiles"
        }
        self._clocks = {
            f.name: ClockCounts() for f in schema.fields if f.is_time
        }
        self._truncated = {
            f.name: 0 for f in schema.fields if f.separator is not None
        }
        # Owners of a vocabulary of texts that hold one value: whether all
        # values are whole numbers; None before the first value.
        self._are_whole: dict[str, bool | None] = {
            schema.owner(f).name: None
            for f in schema.fields
            if f.is_text and f.has_one_id
        }

    def count(
        self,
        columns: Columns,
        partition: int,
        label: Array | None = None,
    ) -> None:
        """Add one partition; its number decides which rows are sampled.

        Args:
            columns: see `Vocabulary.encode`.
            partition: int.
            label: (rows,). Needed where negatives were sampled.
        """
        if self._negatives is not None:
            rows = np.flatnonzero(np.asarray(label) == 0)
            self._negatives.count(take_rows(columns, rows), partition)
        num_rows = len(next(iter(columns.values())))
        self.rows += num_rows
        for field in self.schema.fields:
            column = columns[field.name]
            if field.name in self._moments:
                x = np.asarray(column, dtype=np.float32)
                present = x[~np.isnan(x)]
                self._missing[field.name] += num_rows - len(present)
                self._moments[field.name].add(present)
                if field.name in self._samples:
                    self._samples[field.name].add(present, partition)
                elif isinstance(field, BucketizedField):
                    self._add_values(
                        field.name,
                        bucket_texts(field, present, field.boundaries),
                    )
                continue
            if field.separator is not None:
                rows, tokens, _ = split_values(
                    field, column, self.schema.missing_values
                )
                lengths = np.bincount(rows, minlength=num_rows)
                missing = int((lengths == 0).sum())
                too_long = int((lengths > field.num_ids).sum())
                self._truncated[field.name] += too_long
            else:
                tokens = column
                missing = column.null_count  # type: ignore[union-attr]
            self._missing[field.name] += missing
            if field.name in self._clocks:
                clocks = ClockCounts.of(tokens)
                self._clocks[field.name].merge(clocks)
            self._add_values(self.schema.owner(field).name, tokens)
            if field.name in self._own:
                self._own[field.name].add(count_table(tokens))

    def merge(self, other: VocabularyCounts) -> None:
        """Add the counts of later partitions to these."""
        if self._negatives is not None and other._negatives is not None:
            self._negatives.merge(other._negatives)
        self.rows += other.rows
        for name, are_whole in other._are_whole.items():
            self._are_whole[name] = both(self._are_whole[name], are_whole)
        for name, missing in other._missing.items():
            self._missing[name] += missing
        for name, truncated in other._truncated.items():
            self._truncated[name] += truncated
        for name, values in other._values.items():
            self._values[name].merge(values)
        for name, own in other._own.items():
            self._own[name].merge(own)
        for name, moments in other._moments.items():
            self._moments[name].merge(moments)
        for name, clocks in other._clocks.items():
            self._clocks[name].merge(clocks)
        for name, sample in other._samples.items():
            self._samples[name].merge(sample)

    def finish(self) -> Vocabulary:
        """The vocabulary of all that was counted."""
        if not self.rows:
            raise UserError(
                "The training data must have at least one row. Received: 0 "
                "rows to fit a vocabulary on."
            )
        values: dict[str, Any] = {}
        rare: dict[str, Any] = {}
        statistics: dict[str, dict[str, Any]] = {}
        for field in self.schema.fields:
            entry: dict[str, Any] = {
                "rows": self.rows,
                "missing": self._missing[field.name],
            }
            if field.name in self._moments:
                entry |= self._moments[field.name].summary()
            if field.name in self._clocks:
                entry |= self._clocks[field.name].summary()
            if self._negatives is not None:
                entry[NEGATIVES] = self._negatives._of_negatives(
                    field.name, self.negative_sampling
                )
            if self._truncated.get(field.name):
                entry["truncated"] = self._truncated[field.name]
            if isinstance(field, BucketizedField):
                boundaries: Any = field.boundaries
                if field.method == "quantiles":
                    boundaries = self._samples[field.name].boundaries(
                        field.num_buckets
                    )
                entry["boundaries"] = [float(b) for b in boundaries]
            if "boundaries" in field.needed_statistics:
                num_buckets = len(entry["boundaries"]) + 1
                values[field.name] = [str(i) for i in range(num_buckets)]
            elif field.name in self._values:
                first = (
                    MISSING_ID + 1 if self.schema.has_missing_id(field) else 1
                )
                counts = self._values[field.name]
                if self._are_whole.get(field.name):
                    counts.drop_point_zero(self.schema.missing_values)
                entry["distinct"] = counts.distinct
                cap = field.max_vocabulary_size
                kept = counts.kept(field.min_count, cap, first)
                values[field.name] = kept["value"]
                if self.schema.keeps_rare(field):
                    # In the order of their counts: those kept come first.
                    rest = counts.kept(1, cap, first).slice(kept.num_rows)
                    rare[field.name] = rest["value"]
                self._add_expected(field, kept, statistics)
                del kept
            if self._are_whole.get(field.name):
                entry[WHOLE_NUMBERS] = True
            own = dict(statistics.get(field.name, {}))
            entry.get(NEGATIVES, {}).update(own.pop(NEGATIVES, {}))
            statistics[field.name] = entry | own
            self._warn(field.name, entry, values.get(field.name))
        seen = SeenValues.of_day(
            {n: c.table() for n, c in self._values.items()}
        )
        return Vocabulary(self.schema, values, statistics, rare, seen=seen)

    def _add_expected(
        self,
        owner: Any,
        kept: pa.Table,
        statistics: dict[str, dict[str, Any]],
    ) -> None:
        """What is unseen of each field that reads this vocabulary."""
        for field in self.schema.fields:
            if self.schema.owner(field).name != owner.name:
                continue
            own = None  # A field that shares nothing has all of the counts.
            if field.name in self._own:
                own = self._own_table(field.name, owner)
            everything = self._values[owner.name].table()
            entry = statistics.setdefault(field.name, {})
            entry |= expected_unseen(everything, kept, owner.min_count, own)
            if self._negatives is not None:
                own = self._own_table(field.name, owner, self._negatives)
                entry[NEGATIVES] = expected_unseen(
                    everything, kept, owner.min_count, own
                )

    def _own_table(
        self, name: str, owner: Any, counts: VocabularyCounts | None = None
    ) -> pa.Table:
        """What one field, in some of the rows, has of a vocabulary."""
        counts = counts or self
        own = counts._own.get(name, counts._values[owner.name])
        if self._are_whole.get(owner.name):
            own.drop_point_zero(self.schema.missing_values)
        return own.table()

    def _of_negatives(self, name: str, kept: float) -> dict[str, Any]:
        """What is told of a field, of the rows whose label is 0."""
        clocks = self._clocks.get(name)
        return {
            "kept": kept,
            "rows": self.rows,
            "missing": self._missing[name],
            **(clocks.summary() if clocks else {}),
        }

    def _add_values(self, owner: str, tokens: pa.Array) -> None:
        is_undecided = self._are_whole.get(owner, False) is not False
        if owner not in self._values and not is_undecided:
            return
        counted = count_table(tokens)
        if owner in self._values:
            self._values[owner].add(counted)
        if is_undecided:
            are_whole = are_whole_numbers(counted["value"])
            self._are_whole[owner] = both(self._are_whole[owner], are_whole)

    def _warn(self, name: str, entry: Mapping[str, Any], values: Any) -> None:
        field = self.schema.field(name)
        shared = [f for f in self.schema.fields if f.share_with == name]
        message = None
        if entry["missing"] == self.rows:
            message = "is missing in every row of the training data"
        elif (
            not entry["missing"]
            and not shared
            and (
                entry.get("distinct") == 1
                or ("minimum" in entry and entry["minimum"] == entry["maximum"])
            )
        ):
            message = "has the same value in every row of the training data"
        elif (
            values is not None
            and not len(values)
            # Their counts teach something without any id.
            and not self.schema.keeps_rare(field)
        ):
            message = (
                "keeps no value: each occurs less often than its min_count="
                f"{field.min_count}"
            )
        if message:
            warnings.warn(
                f"Field '{name}' {message}; it gives the model no "
                "information. Check the column, or remove the field from the "
                "schema.",
                stacklevel=3,
            )
        if entry.get("truncated"):
            kept = getattr(field, "keep", "first")
            warnings.warn(
                f"Field '{name}': {entry['truncated']} of {self.rows} rows "
                f"have more than max_length={field.num_ids} values; "
                f"only the {kept} ones are kept (keep='{kept}').",
                stacklevel=3,
            )


def _is_shared(field: Field, schema: Schema) -> bool:
    owner = schema.owner(field).name
    return sum(schema.owner(f).name == owner for f in schema.fields) > 1
