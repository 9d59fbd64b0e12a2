"""Missing and unseen values, counted where values become ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.drift.clocks import ClockCounts
from deepfm_tf.fields import Field
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.raw_values import split_values
from deepfm_tf.vocabulary import NEGATIVES, OOV_ID, Columns, Vocabulary

# Distinct unseen texts that are kept of a field, to find the cause, and
# those of one block.
_MOST_TEXTS = 1000
_MOST_TEXTS_OF_BLOCK = 200
# Totals -> counts among them.
_GROUPS = {
    "rows": ("missing",),
    "values": ("oov", "oov_expected"),
    "times": ("midnights", "whole_hours", "zones"),
}
# Rows of a block with unseen values whose texts are looked at.
_MOST_ROWS = 1000


@dataclasses.dataclass
class FieldCounts:
    """What some rows hold of one field.

    Attributes:
        rows: int.
        missing: int. Rows without a value.
        values: int. Values, several a row of a multi-valued field.
        unseen: int. Values outside the vocabulary; of numbers, those below
            training's minimum or above its maximum.
        texts: unseen values, as text -> how often each was met, in the first
            rows of each block that have any. A thousand at most.
        clocks: how the times of a `TimestampField` are written.
    """

    rows: int = 0
    missing: int = 0
    values: int = 0
    unseen: int = 0
    texts: dict[str, int] = dataclasses.field(default_factory=dict)
    clocks: ClockCounts = dataclasses.field(
        default_factory=ClockCounts, repr=False
    )

    def merge(self, other: FieldCounts) -> None:
        """Add what later rows hold."""
        self.rows += other.rows
        self.missing += other.missing
        self.values += other.values
        self.unseen += other.unseen
        self.clocks.merge(other.clocks)
        if not self.texts:
            self.texts = dict(other.texts)
            return
        for text, count in other.texts.items():
            if text in self.texts or len(self.texts) < _MOST_TEXTS:
                self.texts[text] = self.texts.get(text, 0) + count


class DataCounts:
    """Missing and unseen values of each field, block by block.

    `count` may run on each block alone, and `merge` adds them up in order.

    Args:
        vocabulary: of the training data.
        negative_sampling: float in (0, 1]. The share that was kept of the
            data's rows whose label is 0.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> import pyarrow as pa
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> columns = {"site": pa.array(["a", "c", None]).dictionary_encode()}
    >>> counts = DataCounts(vocabulary)
    >>> counts.count(vocabulary.encode(columns), columns)
    >>> counts.fields["site"]
    FieldCounts(rows=3, missing=1, values=2, unseen=1, texts={'c': 1})
    """

    def __init__(
        self, vocabulary: Vocabulary, negative_sampling: float = 1.0
    ) -> None:
        self.vocabulary = vocabulary
        self.negative_sampling = negative_sampling
        self.fields = {f.name: FieldCounts() for f in vocabulary.schema.fields}

    @classmethod
    def encode(
        cls, vocabulary: Vocabulary, columns: Columns, encode_places: Any = None
    ) -> tuple[dict[str, Array], DataCounts]:
        """What `Vocabulary.encode` makes of some rows, and their counts."""
        packed = vocabulary.encode(columns, encode_places)
        counts = cls(vocabulary)
        counts.count(packed, columns)
        return packed, counts

    def count(
        self,
        packed: Mapping[str, Array],
        columns: Columns | None = None,
    ) -> None:
        """Add some rows.

        Args:
            packed: what `Vocabulary.encode` made of them.
            columns: what it was made of. Without, numbers are not compared
                with training's range, nor how times are written, and no text
                is kept.
        """
        layout = PackedLayout(self.vocabulary.schema.fields)
        # (id columns, rows): a field is read several times, and lies together.
        all_ids = np.ascontiguousarray(packed.get("ids", np.empty((0, 0))).T)
        for field in self.vocabulary.schema.fields:
            _, place = layout.place(field.name)
            if columns is not None and not field.is_text:
                self._count_numbers(field, np.asarray(columns[field.name]))
                continue
            if field.is_numeric:
                is_missing = np.isnan(packed["values"][:, place])
                num_missing = int(is_missing.sum())
                found = FieldCounts(
                    len(is_missing), num_missing, len(is_missing) - num_missing
                )
                self.fields[field.name].merge(found)
                continue
            ids = all_ids[place]
            found = self._count_ids(field, ids)
            if columns is not None and found.unseen:
                found.texts = self._texts(field, ids, columns[field.name])
            if columns is not None and field.is_time:
                column: Any = columns[field.name]
                found.clocks = ClockCounts.of(column)
            self.fields[field.name].merge(found)

    def training(self, field: str) -> dict[str, Any]:
        """What training held of a field, with as many negatives.

        Where negatives were sampled in training, the data have more of them:
        a share that differs between the labels would be another without any
        drift. So each negative counts for those that were left out, and the
        totals are those of a sample without weights that tells as much.
        """
        statistics = self.vocabulary.statistics[field]
        negatives = statistics.get(NEGATIVES)
        if not negatives:
            return statistics
        weight = self.negative_sampling / negatives["kept"]
        result = dict(statistics)
        for total, names in _GROUPS.items():
            if total not in statistics:
                continue
            n, n0 = statistics[total], negatives[total]
            weighted = n - n0 + weight * n0
            scale = weighted / max(1, n - n0 + weight**2 * n0)
            for name in (total, *names):
                few = negatives[name]
                if name == "zones":
                    result[name] = {
                        zone: scale * (c + (weight - 1) * few.get(zone, 0))
                        for zone, c in statistics[name].items()
                    }
                    continue
                result[name] = scale * (statistics[name] + (weight - 1) * few)
        return result

    def merge(self, other: DataCounts) -> None:
        """Add the counts of later blocks."""
        self.add(other.fields)

    def add(self, fields: Mapping[str, FieldCounts]) -> None:
        """Add what later rows hold of each field."""
        for name, counts in fields.items():
            self.fields[name].merge(counts)

    def _count_ids(self, field: Any, ids: Array) -> FieldCounts:
        missing_id, rows = self.vocabulary.missing_id(field), ids.shape[1]
        unseen = int(np.count_nonzero(ids == OOV_ID))
        missing = int(np.count_nonzero(ids[0] == missing_id))
        values = rows - missing
        if len(ids) > 1:
            known = ids >= self.vocabulary.first_id(field)
            values = int(np.count_nonzero(known)) + unseen
        return FieldCounts(rows, missing, values, unseen)

    def _count_numbers(self, field: Field, x: Array) -> None:
        statistics = self.vocabulary.statistics[field.name]
        present = x[~np.isnan(x)]
        # Without any number in training, any would be outside.
        low = np.float32(statistics.get("minimum", -np.inf))
        high = np.float32(statistics.get("maximum", np.inf))
        outside = present[(present < low) | (present > high)]
        numbers, counts = np.unique(outside, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_MOST_TEXTS_OF_BLOCK]
        texts = {
            np.format_float_positional(numbers[n], trim="-"): int(counts[n])
            for n in order
        }
        self.fields[field.name].merge(
            FieldCounts(
                len(x), len(x) - len(present), len(present), len(outside), texts
            )
        )

    def _texts(self, field: Any, ids: Array, column: Any) -> dict[str, int]:
        """Unseen texts of the first rows that have any."""
        is_unseen = (ids == OOV_ID).any(axis=0)
        rows = np.flatnonzero(is_unseen)[:_MOST_ROWS]
        if field.separator is not None:
            _, tokens, _ = split_values(
                field,
                column.take(rows),
                self.vocabulary.schema.missing_values,
            )
            column = tokens.dictionary_encode()
            found = self.vocabulary.look_up(field, column) == OOV_ID
            rows = np.flatnonzero(found)
        codes = column.indices.to_numpy(zero_copy_only=False)[rows]
        used, counts = np.unique(codes.astype(np.int64), return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_MOST_TEXTS_OF_BLOCK]
        texts = column.dictionary.take(used[order]).to_pylist()
        return dict(zip(texts, counts[order].tolist(), strict=True))
