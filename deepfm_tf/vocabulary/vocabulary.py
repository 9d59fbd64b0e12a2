"""Values to ids: counting, thresholds, OOV, hashing, scaling statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.columns import Columns as Columns, take_rows as take_rows
from deepfm_tf.errors import damaged
from deepfm_tf.fields import (
    BucketizedField,
    Field,
    MultiValuedField,
    NumericField,
    TimestampField,
)
from deepfm_tf.fields.encoding import EncodingField
from deepfm_tf.raw_values import (
    drop_point_zero,
    missing_to_null,
    split_values,
)
from deepfm_tf.schema import Schema
from deepfm_tf.text_arrays import PythonTexts, as_texts, joined
from deepfm_tf.timestamps import part_values, time_ids
from deepfm_tf.vocabulary.buckets import bucket_names, bucket_texts
from deepfm_tf.vocabulary.encodings import (
    ABSENT_PLACE,
    FIRST_PLACE,
    MISSING_PLACE,
    ValueEncodings,
)
from deepfm_tf.vocabulary.files import (
    read_days,
    read_vocabulary,
    value_files,
    write_days,
    write_vocabulary,
)
from deepfm_tf.vocabulary.growing import (
    NEGATIVES as NEGATIVES,
    WHOLE_NUMBERS as WHOLE_NUMBERS,
    GrowingVocabulary,
)
from deepfm_tf.vocabulary.scaling import scaled, unscaled
from deepfm_tf.vocabulary.seen_values import SeenValues
from deepfm_tf.vocabulary.value_index import ValueIndex, hash_values

OOV_ID = 0
MISSING_ID = 1
NO_ID = -1  # contributes nothing: padding, or missing="nothing"


class Vocabulary(GrowingVocabulary):
    """What a schema learnt from training data: the ids and the scalings.

    Ids run within a field: 0 is out-of-vocabulary (OOV), 1 is "missing"
    where missing is a value of its own, then come the values by descending
    count, ties by value. Made by `fit_vocabulary` or `prepare`.

    Args:
        schema: the Schema; vocabulary sizes are filled in.
        values: for each counted field that owns rows, its values, as text,
            in the order of their ids.
        statistics: for each field, a dict of plain numbers: `rows`,
            `missing`, and where they apply `mean`, `std`, `minimum`,
            `maximum`, `boundaries`, `distinct`, `whole_numbers`, and
            `values`, `oov`, `oov_expected` (see `drift.expected_unseen`) and
            `times`, `midnights`, `whole_hours`, `zones`, `hours`, `weekdays`
            (`drift.clocks`); `negatives` has some of them for the rows whose
            label is 0, where these were sampled.
        rare: for each owner of a vocabulary that a field with `encodings`
            reads, the values that have no id, but counts.
        counts: for each field with `encodings`, the rows and the clicks of
            its values and of the rare ones: see `ValueEncodings`.
        seen: how often, and when, each value was seen, if that was kept.

    `texts` and `rare_texts` hold values and rare ones as Arrow arrays.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> vocabulary.values["site"].tolist()
    ['b', 'a']
    >>> vocabulary.schema.field("site").vocabulary_size  # + OOV, missing
    4
    """

    def __init__(
        self,
        schema: Schema,
        values: Mapping[str, Any],
        statistics: Mapping[str, Mapping[str, Any]],
        rare: Mapping[str, Any] | None = None,
        counts: Mapping[str, Array] | None = None,
        seen: SeenValues | None = None,
    ) -> None:
        self.seen = seen
        # As Arrow arrays, of which `values` and `rare` make Python's texts.
        self.rare_texts = {n: as_texts(v) for n, v in (rare or {}).items()}
        self.rare = PythonTexts(self.rare_texts)
        self.value_encodings = {
            n: ValueEncodings(c, schema.field(n).missing == "value")
            for n, c in (counts or {}).items()
        }
        times = [f for f in schema.fields if isinstance(f, TimestampField)]
        fixed = {field.name: part_values(field.parts) for field in times}
        self.texts = {n: as_texts(v) for n, v in {**fixed, **values}.items()}
        self.values = PythonTexts(self.texts)
        self.statistics = {n: dict(s) for n, s in statistics.items()}
        self.schema = schema.with_vocabulary_sizes(
            {f.name: self._size(schema, f) for f in schema.id_fields}
        )
        # (places, encodings) float32: the numbers of each value.
        self.encoded = {
            n: e.table(schema.field(n).encodings)
            for n, e in self.value_encodings.items()
        }
        self._indexes = {
            n: ValueIndex(t, self.rare_texts.get(n))
            for n, t in self.texts.items()
        }

    def first_id(self, field: Field) -> int:
        """The id of the field's most frequent value."""
        return MISSING_ID + 1 if self.schema.has_missing_id(field) else 1

    def missing_id(self, field: Field) -> int:
        """The id a missing value gets; -1 contributes nothing."""
        return MISSING_ID if field.missing == "value" else NO_ID

    def drops_point_zero(self, field: Field) -> bool:
        """Whether `7.0` is read as `7`, as pandas writes ids beside a gap.

        So it is where all values of the training data were whole numbers.
        """
        owner = self.schema.owner(field)
        return bool(self.statistics.get(owner.name, {}).get(WHOLE_NUMBERS))

    def encode(
        self,
        columns: Columns,
        encode_places: Callable[[Field, Array], Array] | None = None,
    ) -> dict[str, Array]:
        """Columns of raw values to the packed inputs of the models.

        Args:
            columns: field name -> text array, dictionary or not, with nulls
                (id fields), or float32 array with NaN (numeric and
                bucketized fields).
            encode_places: a field with `encodings`, and the `places` of its
                values, to their numbers. Defaults to those of all training
                rows, which are wrong for the training rows themselves.

        Returns:
            `"ids"` (rows, id columns) int32 and, where the schema has such
            fields, `"values"` (rows, numeric fields) float32 with NaN where
            missing and `"weights"` (rows, weighted id columns) float32.
        """
        # (columns, rows)
        packed: dict[str, list[Array]] = {
            name: [] for name in ("ids", "values", "weights")
        }
        encoded: dict[str, Array] = {}
        encode_places = encode_places or (lambda f, p: self.encoded[f.name][p])
        for field in self.schema.embedded_fields:
            if isinstance(field, EncodingField):
                continue
            column = columns[field.name]
            if isinstance(field, NumericField):
                packed["values"].append(self._scale(field, column)[None])
            elif isinstance(field, TimestampField):
                first, missing = self.first_id(field), self.missing_id(field)
                ids = time_ids(column, field.parts, first, missing)
                packed["ids"].append(ids.T)
            elif isinstance(field, MultiValuedField):
                ids, weights = self._encode_values(field, column)
                packed["ids"].append(ids.T)
                if field.weight_separator:
                    packed["weights"].append(weights.T)
            else:
                column = self.column_texts(field, column)
                if field.encodings:
                    places, rows = self.places(field, column)
                    encoded[field.name] = encode_places(field, places[rows])
                    ids = self._ids_of_places(field, places)[rows]
                else:
                    ids = self.look_up(field, column)
                packed["ids"].append(ids[None])
        packed["values"] += [
            encoded[f.name].T for f in self.schema.fields if f.encodings
        ]
        # A column lies together: to mix them takes ten times as long.
        return {
            name: np.concatenate(parts).T
            for name, parts in packed.items()
            if parts
        }

    def look_up(self, field: Field, column: pa.Array) -> Array:
        """Ids (int32) of a text array; nulls get the field's missing id."""
        places, rows = self.places(field, column)
        return np.asarray(self._ids_of_places(field, places)[rows])

    def num_places(self, field: Field) -> int:
        """Rows of the field's counts."""
        owner = self.schema.owner(field)
        num_values = owner.hash_buckets or len(self._indexes[owner.name])
        return FIRST_PLACE + num_values

    def places(self, field: Field, column: pa.Array) -> tuple[Array, Array]:
        """Where in the field's counts the texts of an array stand.

        Returns:
            The places of its distinct texts; and which of them each row has.
        """
        encoded = column
        if not pa.types.is_dictionary(column.type):
            encoded = column.dictionary_encode()
        texts = encoded.dictionary
        owner = self.schema.owner(field)
        if self.drops_point_zero(field):
            texts = drop_point_zero(texts)
        if owner.hash_buckets:
            found = hash_values(texts, owner.hash_buckets)
        else:
            found = self._indexes[owner.name].find(texts)
        places = np.where(found < 0, ABSENT_PLACE, found + FIRST_PLACE)
        if field.has_one_id and self.drops_point_zero(field):
            # -1.0 is missing where -1 is.
            marked = missing_to_null(texts, self.schema.missing_values)
            is_missing = marked.is_null().to_numpy(zero_copy_only=False)
            places[is_missing] = MISSING_PLACE
        # The last entry serves the nulls, whose index is set to -1.
        places = np.append(places, MISSING_PLACE)
        indices = pc.fill_null(encoded.indices, -1)
        return places, indices.to_numpy(zero_copy_only=False)

    def _ids_of_places(self, field: Field, places: Array) -> Array:
        first = self.first_id(field)
        ids = places + (first - FIRST_PLACE)
        # A rare value has counts, but no id.
        is_oov = ids >= (self.schema.owner(field).vocabulary_size or 0)
        ids[is_oov | (places == ABSENT_PLACE)] = OOV_ID
        ids[places == MISSING_PLACE] = self.missing_id(field)
        return ids.astype(np.int32)

    def with_counts(self, counts: Mapping[str, Array]) -> Vocabulary:
        """The same, with the rows and clicks that `encodings` are made of."""
        return Vocabulary(
            *(self.schema, self.texts, self.statistics, self.rare_texts),
            counts,
            self.seen,
        )

    def column_texts(self, field: Field, column: Any) -> pa.Array:
        """A column's texts; of numbers, the bucket of each, null if missing."""
        if not isinstance(field, BucketizedField):
            return column
        boundaries = self.statistics[field.name].get("boundaries", ())
        return bucket_texts(field, np.asarray(column), boundaries)

    def value_names(self, field: Field) -> Sequence[str] | Array | None:
        """In words, the values whose ids start at `first_id`.

        Of a bucketized field, what its buckets hold. None of a hashed one.
        """
        owner = self.schema.owner(field)
        if owner.hash_buckets:
            return None
        values: Array = self.values[owner.name]
        if isinstance(field, BucketizedField):
            boundaries = self.statistics[field.name].get("boundaries", ())
            return bucket_names(field, values, boundaries)
        return values

    def save(self, directory: str | Path, with_seen: bool = True) -> None:
        """Write the schema, the statistics and one text file per field.

        And digests of them, so that `load` notices a damaged one; and `seen`.
        """
        seen = self.seen if with_seen else None
        write_days(Path(directory), self.schema, seen, self.files_of_days)
        write_vocabulary(
            Path(directory),
            self.schema,
            self.statistics,
            self.texts,
            self.rare_texts,
            {n: e.counts for n, e in self.value_encodings.items()},
        )

    @classmethod
    def load(cls, directory: str | Path) -> Vocabulary:
        """Read what `save` wrote, or the vocabulary of an exported version.

        Raises:
            ValueError: a file is absent, or is not as it was written. What
                versions before digests wrote is searched for contradictions.
        """
        directory = Path(directory)
        contents = read_vocabulary(directory)
        schema, values = contents[:2]
        vocabulary = cls(*contents)
        vocabulary.seen, vocabulary.files_of_days = read_days(directory, schema)
        for name, file in value_files(schema).items():
            expected = schema.field(name).vocabulary_size or 0
            found = vocabulary.schema.field(name).vocabulary_size or 0
            if expected != found:
                count = len(values[name])
                raise damaged(
                    directory / file,
                    f"must hold {count + expected - found} values, as the "
                    f"schema beside it says, but has {count}",
                )
        return vocabulary

    def fingerprint(self) -> str:
        """A digest of everything that decides how values become ids."""
        digest = hashlib.blake2b(self.schema.to_json().encode(), digest_size=16)
        digest.update(json.dumps(self.statistics, sort_keys=True).encode())
        for name in sorted(self.texts):
            _add_lines(digest, name, self.texts[name])
        for name, encodings in self.value_encodings.items():
            owner = self.schema.owner(self.schema.field(name)).name
            _add_lines(digest, name, self.rare_texts.get(owner, as_texts(())))
            digest.update(encodings.counts.astype("<f8").tobytes())
        return digest.hexdigest()

    def _size(self, schema: Schema, field: Field) -> int:
        owner = schema.owner(field)
        first = MISSING_ID + 1 if schema.has_missing_id(field) else 1
        num_values = len(self.texts.get(owner.name, ()))
        return first + (owner.hash_buckets or num_values)

    def _scale(self, field: NumericField, column: Any) -> Array:
        constants = self.scaling_constants(field)
        return scaled(np.asarray(column, np.float32), field.scaling, *constants)

    def unscale(
        self, field: NumericField | EncodingField, numbers: Array
    ) -> Array:
        """The numbers (float64) that were scaled, without rounding errors.

        Args:
            field: the field.
            numbers: float32 of any shape, as in the packed inputs.
        """
        if isinstance(field, EncodingField):
            encodings = self.value_encodings[field.source]
            return encodings.decode(field.encoding, numbers)
        mean, std = map(float, self.scaling_constants(field))
        return unscaled(numbers, field.scaling, mean, std)

    def scaling_constants(
        self, field: NumericField
    ) -> tuple[np.float32, np.float32]:
        """Mean and standard deviation; a constant column is not divided."""
        if field.scaling != "standardize":
            return np.float32(0), np.float32(1)
        found = self.statistics[field.name]
        return np.float32(found["mean"]), np.float32(found["std"] or 1.0)

    def _encode_values(
        self, field: MultiValuedField, column: pa.Array
    ) -> tuple[Array, Array]:
        rows, tokens, weights = split_values(
            field, column, self.schema.missing_values
        )
        shape = (len(column), field.max_length)
        first = np.searchsorted(rows, rows)
        if field.keep == "last":
            limit = np.searchsorted(rows, rows, side="right")
            first = np.maximum(first, limit - field.max_length)
        position = np.arange(len(rows)) - first
        keep = (position >= 0) & (position < field.max_length)
        ids = np.full(shape, NO_ID, dtype=np.int32)
        ids[rows[keep], position[keep]] = self.look_up(field, tokens)[keep]
        if field.missing == "value":
            ids[ids[:, 0] == NO_ID, 0] = MISSING_ID
        packed = np.ones(shape, dtype=np.float32)
        packed[rows[keep], position[keep]] = weights[keep]
        return ids, packed


def _add_lines(digest: Any, name: str, texts: pa.Array) -> None:
    digest.update(name.encode())
    for lines in joined(texts, before="\n"):
        digest.update(lines)
