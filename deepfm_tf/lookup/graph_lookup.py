"""Raw tensors to packed inputs inside a TensorFlow graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.fields import (
    BucketizedField,
    Field,
    MultiValuedField,
    NumericField,
    TimestampField,
)
from deepfm_tf.lookup.buckets import look_up_buckets
from deepfm_tf.lookup.encodings import Encoded, EncodingLookup
from deepfm_tf.lookup.times import look_up_times
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.raw_values import (
    NUMBER_PATTERN,
    POINT_ZERO_PATTERN,
    POINT_ZERO_REWRITE,
    missing_numbers,
)
from deepfm_tf.text_arrays import joined
from deepfm_tf.vocabulary import NO_ID, OOV_ID, Vocabulary

# What the table answers for a value it lacks: below zero whatever is added.
_ABSENT = -(2**62)


class GraphLookup(tf.Module):
    """What `Vocabulary.encode` does, as TensorFlow ops.

    All values of all fields lie in one table, each behind the number of its
    field, so that a call costs one look-up however many fields there are. It
    serves the ids and, of fields with `encodings`, their numbers too.

    Args:
        vocabulary: a fitted Vocabulary.
        asset_file: a new text file that the table is read from; TensorFlow
            copies it into a SavedModel.

    Call arguments:
        raw: dict, field name -> (batch,) tensor: string for categorical and
            multi-valued fields (`""` is missing), float32 for numeric and
            bucketized ones (NaN is missing).

    Returns:
        The packed inputs of a model: see `Vocabulary.encode`. If `raw` holds
        only some of the fields, the columns of these, in the same order.
    """

    def __init__(self, vocabulary: Vocabulary, asset_file: str | Path) -> None:
        super().__init__(name="graph_lookup")
        self._vocabulary = vocabulary
        self._schema = vocabulary.schema
        self._first_lines: dict[str, int] = {}
        line = 0
        with open(asset_file, "wb") as file:
            for number, field in enumerate(self._schema.table_fields):
                if (
                    field.name not in vocabulary.values
                    or not field.is_text
                    or field.is_time
                ):
                    continue
                self._first_lines[field.name] = line
                for texts in (vocabulary.texts, vocabulary.rare_texts):
                    if field.name in texts:
                        lines = joined(texts[field.name], f"{number}:", "\n")
                        file.writelines(lines)
                        line += len(texts[field.name])
        self._table = None
        if line:
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    str(asset_file),
                    key_dtype=tf.string,
                    key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
                    value_dtype=tf.int64,
                    value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                default_value=_ABSENT,
            )
        self._encodings = EncodingLookup(vocabulary)

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        fields = [f for f in self._schema.fields if f.name in raw]
        columns = [
            [tf.reshape(raw[f.name], [-1]) for f in chosen]
            for chosen in (text_fields(fields), number_fields(fields))
        ]
        texts, numbers = (tf.stack(c, axis=1) if c else None for c in columns)
        return self.encode(texts, numbers, fields)

    def encode(
        self,
        texts: tf.Tensor | None,
        numbers: tf.Tensor | None,
        fields: Sequence[Field] | None = None,
    ) -> dict[str, tf.Tensor]:
        """The same, from two matrices: the fast way in.

        Args:
            texts: (batch, text fields) string, or None if there are none.
            numbers: (batch, number fields) float32, or None.
            fields: those that the columns belong to, in schema order.
                Defaults to all.
        """
        fields = self._schema.fields if fields is None else fields
        if texts is not None:
            texts = self._drop_point_zero(texts, text_fields(fields))
            texts = self._drop_missing(texts)
        if numbers is not None:
            for value in missing_numbers(self._schema.missing_values):
                numbers = tf.where(
                    tf.equal(numbers, value), np.float32(np.nan), numbers
                )
        packed = {}
        encoded: list[Encoded] = []
        ids, weights = self._look_up(texts, numbers, fields, encoded)
        if ids is not None:
            packed["ids"] = ids
        if weights:
            packed["weights"] = _join(weights)
        numeric = [f for f in fields if isinstance(f, NumericField)]
        values = self._encodings.join(fields, encoded)
        if numeric:
            columns = _columns(numbers, number_fields(fields), numeric)
            values.insert(0, self._scale(columns, numeric))
        if values:
            packed["values"] = _join(values)
        return packed

    def _look_up(
        self,
        texts: tf.Tensor | None,
        numbers: tf.Tensor | None,
        fields: Sequence[Field],
        encoded: list[Encoded],
    ) -> tuple[tf.Tensor | None, list[tf.Tensor]]:
        """(batch, id columns), and the weights of each weighted field.

        `encoded` gets the numbers of the fields that have `encodings`.
        """
        layout = PackedLayout(fields)
        places = range(layout.num_ids)

        def columns_of(field: Field) -> range:
            return places[layout.columns(field.name)["ids"]]

        parts: list[tf.Tensor] = []
        order: list[int] = []
        weights: list[tf.Tensor] = []
        # Texts in three kinds: in the table, or hashed into so many buckets.
        groups: dict[int | None, list[tuple[list[Field], tf.Tensor]]] = {}
        for buckets, single in self._single(fields).items():
            columns = _columns(texts, text_fields(fields), single)
            groups.setdefault(buckets, []).append((single, columns))
        for field in fields:
            if isinstance(field, MultiValuedField):
                column = _columns(texts, text_fields(fields), [field])
                tokens, token_weights = self._split(field, column[:, 0])
                buckets = self._hash_buckets(field)
                groups.setdefault(buckets, []).append(([field], tokens))
                if field.weight_separator:
                    weights.append(token_weights)
            elif isinstance(field, TimestampField):
                column = _columns(texts, text_fields(fields), [field])
                first, missing = (
                    self._vocabulary.first_id(field),
                    self._missing_ids(field),
                )
                ids = look_up_times(column[:, 0], field.parts, first, missing)
                parts.append(ids)
                order += columns_of(field)
        for buckets, members in groups.items():
            owned = [field for group, _ in members for field in group]
            joined = _join([columns for _, columns in members])
            parts.append(self._text_ids(owned, joined, buckets, encoded))
            order += [column for f in owned for column in columns_of(f)]
        bucketized = [f for f in fields if isinstance(f, BucketizedField)]
        if bucketized:
            columns = _columns(numbers, number_fields(fields), bucketized)
            ids, *found = look_up_buckets(columns, bucketized, self._vocabulary)
            own = [field for field in bucketized if field.encodings]
            if own:
                found = [_columns(part, bucketized, own) for part in found]
                encoded.append(self._encodings.find(own, *found))
            parts.append(ids)
            order += [column for f in bucketized for column in columns_of(f)]
        if not parts:
            return None, weights
        ids = _join(parts)
        if order != sorted(order):
            ids = tf.gather(ids, np.argsort(order), axis=1)
        return ids, weights

    def _single(self, fields: Iterable[Field]) -> dict[int | None, list[Field]]:
        """Fields of one text value, by the number of their hash buckets."""
        groups: dict[int | None, list[Field]] = {}
        for field in text_fields(fields):
            if field.has_one_id:
                groups.setdefault(self._hash_buckets(field), []).append(field)
        return groups

    def _hash_buckets(self, field: Field) -> int | None:
        return self._schema.owner(field).hash_buckets

    def _text_ids(
        self,
        fields: Sequence[Field],
        texts: tf.Tensor,
        buckets: int | None,
        encoded: list[Encoded],
    ) -> tf.Tensor:
        """(batch, id columns) int32; texts are "" where missing."""
        lengths = [field.num_ids for field in fields]
        first = np.array([self._vocabulary.first_id(f) for f in fields])
        first = np.repeat(first, lengths)
        if buckets:
            ids = tf.strings.to_hash_bucket_fast(texts, buckets) + first
        elif self._table is None:
            ids = tf.fill(tf.shape(texts), np.int64(_ABSENT))
        else:
            owners = [self._schema.owner(f).name for f in fields]
            names = [f.name for f in self._schema.table_fields]
            prefixes = [f"{names.index(owner)}:" for owner in owners]
            lines = [self._first_lines[owner] for owner in owners]
            prefix = tf.constant(np.repeat(prefixes, lengths)[None])
            prefix = tf.tile(prefix, [tf.shape(texts)[0], 1])
            # (batch, id columns): the value's line in the file.
            keys = tf.strings.join([prefix, texts])
            ids = self._table.lookup(keys) + first - np.repeat(lines, lengths)
        is_missing = tf.equal(texts, "")
        own = [field for field in fields if field.encodings]
        if own:  # fields of one value alone
            starts = np.cumsum([0, *lengths])
            chosen = [starts[fields.index(field)] for field in own]
            found = tf.gather(ids - first, chosen, axis=1)
            gone = tf.gather(is_missing, chosen, axis=1)
            encoded.append(self._encodings.find(own, found, gone))
        sizes = [self._schema.owner(f).vocabulary_size or 0 for f in fields]
        if any(self._schema.keeps_rare(f) for f in fields):
            # A rare value has counts, but no id.
            ids = tf.where(ids < np.repeat(sizes, lengths), ids, OOV_ID)
        ids = tf.maximum(ids, np.int64(OOV_ID))
        missing = np.concatenate([self._missing_ids(f) for f in fields])
        return tf.where(is_missing, missing, tf.cast(ids, tf.int32))

    def _missing_ids(self, field: Field) -> Array:
        ids = np.full(field.num_ids, NO_ID, dtype=np.int32)
        # Values stand first: the first column is empty only if all are.
        ids[0] = self._vocabulary.missing_id(field)
        return ids

    def _drop_point_zero(
        self, texts: tf.Tensor, fields: Sequence[Field]
    ) -> tf.Tensor:
        """(batch, fields): `7.0` as `7` where the vocabulary does so."""
        columns = [
            number
            for number, field in enumerate(fields)
            if self._vocabulary.drops_point_zero(field) and field.has_one_id
        ]
        if not columns:
            return texts
        chosen = _point_zero_dropped(tf.gather(texts, columns, axis=1))
        if len(columns) == len(fields):
            return chosen
        order = np.arange(len(fields))
        order[columns] = len(fields) + np.arange(len(columns))
        return tf.gather(tf.concat([texts, chosen], axis=1), order, axis=1)

    def _drop_missing(self, text: tf.Tensor) -> tf.Tensor:
        for value in self._schema.missing_values:
            text = tf.where(tf.equal(text, value), "", text)
        return text

    def _split(
        self, field: MultiValuedField, column: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """(batch, max_length) values, "" where none; their weights, if any."""
        # As `tf.strings.split` and `tf.RaggedTensor` do, without the row splits
        # that they make of the row of each value: half of all operations here.
        split = tf.raw_ops.StringSplitV2(input=column, sep=field.separator)
        tokens, rows = split.values, split.indices[:, 0]
        weights = None
        if field.weight_separator:
            separator = re.escape(field.weight_separator)
            pattern = f"(?s)^(.*){separator}(.*)$"
            has_weight = tf.strings.regex_full_match(tokens, pattern)
            texts = tf.strings.regex_replace(tokens, pattern, r"\2")
            texts = tf.strings.strip(tf.where(has_weight, texts, "1"))
            tokens = tf.strings.regex_replace(tokens, pattern, r"\1")
            # The weight of a value that is dropped below may be anything.
            tokens = self._drop_missing(tokens)
            weights = _weights(tf.where(tf.equal(tokens, ""), "1", texts))
        tokens = self._drop_missing(tokens)
        keep = tf.not_equal(tokens, "")
        if self._vocabulary.drops_point_zero(field):
            tokens = _point_zero_dropped(tokens)
        if field.keep == "last":
            counted = tf.cast(keep, tf.int32)
            ends = tf.cumsum(tf.math.segment_sum(counted, rows))
            # How many of its row come after each value.
            after = tf.gather(ends, rows) - tf.cumsum(counted)
            keep = tf.logical_and(keep, after < field.max_length)
        # `tf.ragged.boolean_mask` would be most of the time of tracing.
        kept = tf.where(keep)[:, 0]
        rows = tf.gather(rows, kept)

        def pad(flat: tf.Tensor, default: str | float) -> tf.Tensor:
            return tf.raw_ops.RaggedTensorToTensor(
                shape=[-1, field.max_length],
                values=tf.gather(flat, kept),
                default_value=default,
                row_partition_tensors=[split.shape[0], rows],
                row_partition_types=["FIRST_DIM_SIZE", "VALUE_ROWIDS"],
            )

        return pad(tokens, ""), None if weights is None else pad(weights, 1.0)

    def _scale(self, x: tf.Tensor, fields: Sequence[NumericField]) -> tf.Tensor:
        """(batch, numeric fields), scaled; NaN where missing."""
        mean, std = np.transpose(
            [self._vocabulary.scaling_constants(f) for f in fields]
        )
        scaled = (x - mean) / std
        is_log = np.array([f.scaling == "log" for f in fields])
        if is_log.any():
            log = tf.sign(x) * tf.math.log1p(tf.abs(x))
            scaled = tf.where(is_log, log, scaled)
        return scaled


def _point_zero_dropped(texts: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_replace(
        texts, POINT_ZERO_PATTERN, POINT_ZERO_REWRITE
    )


def _weights(texts: tf.Tensor) -> tf.Tensor:
    """Float32 of texts; an error where training refuses one too."""
    # TensorFlow alone would also read `nan`, `inf` and `0x10`.
    is_number = tf.strings.regex_full_match(texts, NUMBER_PATTERN)
    numbers = tf.strings.to_number(tf.where(is_number, texts, "0"))
    is_number = tf.logical_and(is_number, tf.math.is_finite(numbers))
    # Nothing that a release of TensorFlow Serving may lack: see
    # tests/export/operations.py.
    wrong = tf.strings.join([texts, " is not a finite number"])
    return tf.strings.to_number(tf.where(is_number, texts, wrong))


def raw_dtype(field: Field) -> tf.DType:
    """The type of a field's raw tensor."""
    return tf.string if field.is_text else tf.float32


def text_fields(fields: Iterable[Field]) -> list[Field]:
    """Those whose raw values are text, in the same order."""
    return [field for field in fields if field.is_text]


def number_fields(fields: Iterable[Field]) -> list[Field]:
    """Those whose raw values are numbers, in the same order."""
    return [field for field in fields if not field.is_text]


def _columns(
    matrix: tf.Tensor, fields: Sequence[Field], chosen: Sequence[Field]
) -> tf.Tensor:
    """The columns of the chosen fields; none is copied if all are chosen."""
    if list(fields) == list(chosen):
        return matrix
    return tf.gather(matrix, [fields.index(f) for f in chosen], axis=1)


def _join(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
