"""Raw tensors to packed inputs inside a TensorFlow graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfm_tf.fields import (
    BucketizedField,
    Field,
    MultiValuedField,
    NumericField,
)
from deepfm_tf.vocabulary import (
    LOG_SQUARE_THRESHOLDS,
    NO_ID,
    OOV_ID,
    SMALLEST_BUCKET,
    Vocabulary,
    numeric_missing_values,
)


class GraphLookup(tf.Module):
    """What `Vocabulary.encode` does, as TensorFlow ops.

    All values of all fields lie in one table, each behind the number of its
    field, so that a call costs one look-up however many fields there are.

    Args:
        vocabulary: a fitted Vocabulary.
        asset_file: a new text file that the table is read from; TensorFlow
            copies it into a SavedModel.

    Call arguments:
        raw: dict, field name -> (batch,) tensor: string for categorical and
            multi-valued fields (`""` is missing), float32 for numeric and
            bucketized ones (NaN is missing).

    Returns:
        The packed inputs of a model: see `Vocabulary.encode`.
    """

    def __init__(self, vocabulary: Vocabulary, asset_file: str | Path) -> None:
        super().__init__(name="graph_lookup")
        self._vocabulary = vocabulary
        self._schema = vocabulary.schema
        self._first_lines: dict[str, int] = {}
        line = 0
        with open(asset_file, "w", encoding="utf-8", newline="\n") as file:
            for number, field in enumerate(self._schema.table_fields):
                if field.name not in vocabulary.values or isinstance(
                    field, BucketizedField
                ):
                    continue
                values = vocabulary.values[field.name]
                self._first_lines[field.name] = line
                file.writelines(f"{number}:{value}\n" for value in values)
                line += len(values)
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
                default_value=-1,
            )

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        raw = {name: tf.reshape(value, [-1]) for name, value in raw.items()}
        texts, weights = [], []
        for field in self._schema.id_fields:
            column = raw[field.name]
            if isinstance(field, BucketizedField):
                texts.append(self._bucket_ids(field, column)[:, None])
            elif isinstance(field, MultiValuedField):
                tokens, token_weights = self._split(field, column)
                texts.append(tokens)
                if field.weight_separator:
                    weights.append(token_weights)
            else:
                texts.append(self._drop_missing(column)[:, None])
        packed = {}
        if texts:
            packed["ids"] = self._look_up(texts)
        if weights:
            packed["weights"] = tf.concat(weights, axis=1)
        if self._schema.numeric_fields:
            packed["values"] = self._scale(raw)
        return packed

    def _look_up(self, texts: list[tf.Tensor]) -> tf.Tensor:
        """Texts of each id field, "" where missing, to (batch, slots) ids.

        Bucketized fields come as ids already.
        """
        counted: list[tuple[Field, tf.Tensor]] = []
        found: list[tf.Tensor] = []
        order_counted: list[int] = []
        order_found: list[int] = []
        start = 0
        for field, text in zip(self._schema.id_fields, texts, strict=True):
            slots = range(start, start + text.shape[1])
            start = slots.stop
            buckets = getattr(self._schema.owner(field), "hash_buckets", None)
            if isinstance(field, BucketizedField):
                found.append(text)
                order_found += slots
            elif buckets:
                first = self._vocabulary.first_id(field)
                ids = tf.strings.to_hash_bucket_fast(text, buckets) + first
                found.append(self._with_missing([field], text, ids))
                order_found += slots
            else:
                counted.append((field, text))
                order_counted += slots
        parts = found
        if counted:
            parts = [self._look_up_counted(counted), *found]
        ids = tf.concat(parts, axis=1)
        if order_counted and order_found:
            order = np.argsort(order_counted + order_found)
            ids = tf.gather(ids, order, axis=1)
        return ids

    def _with_missing(
        self, fields: Sequence[Field], texts: tf.Tensor, ids: tf.Tensor
    ) -> tf.Tensor:
        missing = np.concatenate([self._missing_ids(f) for f in fields])
        return tf.where(tf.equal(texts, ""), missing, tf.cast(ids, tf.int32))

    def _look_up_counted(
        self, counted: list[tuple[Field, tf.Tensor]]
    ) -> tf.Tensor:
        prefixes: list[str] = []
        offsets: list[int] = []
        owners = [f.name for f in self._schema.table_fields]
        for field, text in counted:
            owner = self._schema.owner(field).name
            first_line = self._first_lines[owner]
            prefixes += [f"{owners.index(owner)}:"] * text.shape[1]
            offsets += [
                self._vocabulary.first_id(field) - first_line
            ] * text.shape[1]
        fields = [field for field, _ in counted]
        texts = tf.concat([text for _, text in counted], axis=1)
        if self._table is None:
            ids = tf.fill(tf.shape(texts), OOV_ID)
            return self._with_missing(fields, texts, ids)
        # (batch, slots): the line in the file, -1 for OOV.
        keys = tf.strings.join(
            [tf.broadcast_to(prefixes, tf.shape(texts)), texts]
        )
        lines = self._table.lookup(keys)
        ids = lines + np.array(offsets, dtype=np.int64)
        ids = tf.where(lines < 0, tf.constant(OOV_ID, tf.int64), ids)
        return self._with_missing(fields, texts, ids)

    def _missing_ids(self, field: Field) -> np.ndarray:
        length = getattr(field, "max_length", 1)
        ids = np.full(length, NO_ID, dtype=np.int32)
        # Values stand first: the first slot is empty only if all are.
        ids[0] = self._vocabulary.missing_id(field)
        return ids

    def _drop_missing(self, text: tf.Tensor) -> tf.Tensor:
        for value in self._schema.missing_values:
            text = tf.where(tf.equal(text, value), "", text)
        return text

    def _numbers(self, x: tf.Tensor) -> tf.Tensor:
        for value in numeric_missing_values(self._schema):
            x = tf.where(tf.equal(x, value), np.float32(np.nan), x)
        return x

    def _bucket_ids(
        self, field: BucketizedField, column: tf.Tensor
    ) -> tf.Tensor:
        column = self._numbers(column)
        # An infinity can only come in serving; it counts as missing.
        present = tf.math.is_finite(column)
        x = tf.where(present, column, 0.0)
        first = self._vocabulary.first_id(field)
        if field.method == "log_square":
            large = tf.searchsorted(
                tf.constant(LOG_SQUARE_THRESHOLDS), x, side="right"
            )
            small = tf.floor(tf.clip_by_value(x, SMALLEST_BUCKET, 2.0))
            buckets = tf.where(x > 2.0, large, tf.cast(small, tf.int32))
            ids = self._known_ids(field, buckets)
        else:
            edges = self._vocabulary.statistics[field.name]["boundaries"]
            ids = first + tf.searchsorted(
                tf.constant(edges, tf.float32), x, side="right"
            )
        return tf.where(present, ids, self._vocabulary.missing_id(field))

    def _known_ids(
        self, field: BucketizedField, buckets: tf.Tensor
    ) -> tf.Tensor:
        """Ids of the buckets that the vocabulary has; OOV of the others."""
        known = self._vocabulary.values[field.name].astype(np.int32)
        if not len(known):
            return tf.fill(tf.shape(buckets), OOV_ID)
        order = np.argsort(known)
        place = tf.searchsorted(tf.constant(known[order]), buckets)
        place = tf.minimum(place, len(known) - 1)
        is_known = tf.equal(tf.gather(known[order], place), buckets)
        ids = (order + self._vocabulary.first_id(field)).astype(np.int32)
        return tf.where(is_known, tf.gather(ids, place), OOV_ID)

    def _split(
        self, field: MultiValuedField, column: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(batch, max_length) values, "" where none, and their weights."""
        column = self._drop_missing(column)
        parts = tf.strings.split(column, field.separator)
        tokens = parts.flat_values
        weights = tf.ones_like(tokens, dtype=tf.float32)
        if field.weight_separator:
            separator = re.escape(field.weight_separator)
            pattern = f"(?s)^(.*){separator}(.*)$"
            has_weight = tf.strings.regex_full_match(tokens, pattern)
            texts = tf.strings.regex_replace(tokens, pattern, r"\2")
            texts = tf.strings.strip(tf.where(has_weight, texts, "1"))
            tokens = tf.strings.regex_replace(tokens, pattern, r"\1")
            # The weight of a value that is dropped below may be anything.
            texts = tf.where(tf.equal(tokens, ""), "1", texts)
            weights = tf.strings.to_number(texts)
        tokens = self._drop_missing(tokens)
        keep = parts.with_flat_values(tf.not_equal(tokens, ""))

        def pad(flat: tf.Tensor, default: str | float) -> tf.Tensor:
            ragged = tf.ragged.boolean_mask(parts.with_flat_values(flat), keep)
            return ragged.to_tensor(default, shape=(None, field.max_length))

        return pad(tokens, ""), pad(weights, 1.0)

    def _scale(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """(batch, numeric fields), scaled; NaN where missing."""
        fields = self._schema.numeric_fields
        x = self._numbers(tf.stack([raw[f.name] for f in fields], axis=1))
        mean, std = np.transpose(
            [
                self._vocabulary.scaling_constants(f)
                if f.scaling == "standardize"
                else (np.float32(0), np.float32(1))
                for f in fields
            ]
        )
        scaled = (x - mean) / std
        is_log = np.array([f.scaling == "log" for f in fields])
        if is_log.any():
            log = tf.sign(x) * tf.math.log1p(tf.abs(x))
            scaled = tf.where(is_log, log, scaled)
        return scaled


def raw_dtype(field: Field) -> tf.DType:
    """The type of a field's raw tensor."""
    if isinstance(field, (NumericField, BucketizedField)):
        return tf.float32
    return tf.string
