"""Requests to every signature, to check it with and to warm it up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.export.rank import CONTEXT_PREFIX, split_fields
from deepfm_tf.export.signatures import Defaults
from deepfm_tf.fields import (
    Field,
)
from deepfm_tf.lookup import number_fields, text_fields
from deepfm_tf.raw_values import missing_numbers
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary

# Of every form: with a zone, a date alone, seconds, milliseconds.
_TIMES = (
    "2024-02-29 23:59:59.999+05:30",
    "2023-12-31",
    "2000-01-01T00:00Z",
    "20240107",
    "1700000000",
    "1700000000123",
)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of known, unseen and missing values.

    Args:
        raw: field name -> values as a client sends them: text, or float32.
        packed: the same rows as the model's packed inputs.
    """

    raw: Mapping[str, Array]
    packed: Mapping[str, Array]

    @classmethod
    def make(
        cls,
        vocabulary: Vocabulary,
        num_rows: int,
        repeated: Sequence[str] = (),
        row: int = 0,
    ) -> Rows:
        """Rows from the vocabulary's values.

        Args:
            vocabulary: fitted.
            num_rows: int, at least three.
            repeated: fields that have the value of one row in all of them.
            row: int. That row.
        """
        raw, columns = _raw_rows(vocabulary, num_rows)
        places = np.full(num_rows, row)
        for name in repeated:
            raw[name] = raw[name][places]
            columns[name] = columns[name].take(places)
        return cls(raw, vocabulary.encode(columns))

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.raw.values())))

    def head(self, num_rows: int) -> Rows:
        """The first rows."""
        return Rows(
            {name: column[:num_rows] for name, column in self.raw.items()},
            {name: array[:num_rows] for name, array in self.packed.items()},
        )


@dataclasses.dataclass(frozen=True)
class Request:
    """One request to one signature.

    Args:
        signature: its name.
        rows: the rows that it asks about.
        inputs: name -> array; or, for `classify` and `regress`, a
            `tf.train.Example` for each row.
    """

    signature: str
    rows: Rows
    inputs: Mapping[str, Array] | Sequence[Any]


def make_requests(
    rows: Rows, schema: Schema, defaults: Defaults, num_rows: int
) -> list[Request]:
    """A request for the first rows to each signature without a context.

    Args:
        rows: at least `num_rows` of them.
        schema: the fitted Schema.
        defaults: field name -> value where an example lacks the field.
        num_rows: int. Rows of each request.
    """
    rows = rows.head(num_rows)
    examples = _examples(rows, schema, defaults)
    return [
        Request("serving_default", rows, _columns(rows, schema)),
        Request("packed", rows, _matrices(rows, schema.fields)),
        Request("ids", rows, rows.packed),
        Request("classify", rows, examples),
        Request("regress", rows, examples),
    ]


def make_explain_request(rows: Rows, schema: Schema, num_rows: int) -> Request:
    """A request for the first rows to `explain`."""
    rows = rows.head(num_rows)
    return Request("explain", rows, _columns(rows, schema))


def make_unseen_request(rows: Rows, schema: Schema, num_rows: int) -> Request:
    """A request for the first rows to `unseen`."""
    rows = rows.head(num_rows)
    return Request("unseen", rows, _columns(rows, schema))


def make_rank_requests(
    vocabulary: Vocabulary, context_fields: Sequence[str], num_rows: int
) -> list[Request]:
    """Requests to `rank` and `packed_rank`, for each size another context.

    Args:
        vocabulary: fitted.
        context_fields: names of the fields that all rows have in common.
        num_rows: int. Number of candidates.
    """
    rows = Rows.make(
        vocabulary, num_rows + 3, context_fields, row=num_rows
    ).head(num_rows)
    names = vocabulary.schema.signature_names
    columns = {
        names[name]: column[:1] if name in context_fields else column
        for name, column in rows.raw.items()
    }
    context, candidates = split_fields(vocabulary.schema, context_fields)
    matrices = _matrices(rows, candidates) | {
        f"{CONTEXT_PREFIX}{name}": matrix[:1]
        for name, matrix in _matrices(rows, context).items()
    }
    return [
        Request("rank", rows, columns),
        Request("packed_rank", rows, matrices),
    ]


def _columns(rows: Rows, schema: Schema) -> dict[str, Array]:
    names = schema.signature_names
    return {names[field.name]: rows.raw[field.name] for field in schema.fields}


def _matrices(rows: Rows, fields: Iterable[Field]) -> dict[str, Array]:
    fields = list(fields)
    return {
        name: np.stack([rows.raw[f.name] for f in chosen], axis=1)
        for name, chosen in (
            ("texts", text_fields(fields)),
            ("numbers", number_fields(fields)),
        )
        if chosen
    }


def _examples(rows: Rows, schema: Schema, defaults: Defaults) -> list[Any]:
    examples = [tf.train.Example() for _ in range(rows.num_rows)]
    for field in schema.fields:
        values = rows.raw[field.name].tolist()
        for example, value in zip(examples, values, strict=True):
            is_missing = value == "" or value != value
            # As a client would; but not where that means another value.
            if is_missing and field.name not in defaults:
                continue
            feature = example.features.feature[field.name]
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            else:
                feature.float_list.value.append(value)
    return examples


def _raw_rows(
    vocabulary: Vocabulary, num_rows: int
) -> tuple[dict[str, Array], dict[str, Any]]:
    random = np.random.default_rng(0)
    raw: dict[str, Array] = {}
    columns: dict[str, Any] = {}
    for field in vocabulary.schema.fields:
        if not field.is_text:
            statistics = vocabulary.statistics[field.name]
            low = statistics.get("minimum", -1.0)
            high = statistics.get("maximum", 1.0)
            numbers = random.uniform(low, high, num_rows).astype(np.float32)
            numbers[:3] = (low, high, np.nan)
            numbers = random.permutation(numbers)
            raw[field.name] = numbers
            markers = missing_numbers(vocabulary.schema.missing_values)
            is_missing = np.isin(numbers, markers)
            columns[field.name] = np.where(is_missing, np.nan, numbers).astype(
                np.float32
            )
            continue
        owner = vocabulary.schema.owner(field).name
        known = vocabulary.values.get(owner, np.empty(0, object)).tolist()
        rare = vocabulary.rare.get(owner, np.empty(0, object)).tolist()
        # The most frequent values, the rarest, an unseen one, and none.
        values = [*known[:16], *known[-16:], *rare[:8]]
        values += ["never seen \N{SNOWMAN}", ""]
        if field.is_time:
            values = [*_TIMES, *values[-2:]]
        texts = random.choice(np.array(values, dtype=object), num_rows)
        texts[:2] = values[-2:]
        if field.separator is not None:
            other = random.permutation(texts)
            weight = f"{field.weight_separator}0.5" * field.has_weights
            texts = texts + weight + field.separator + other + weight
            texts[:1] = ""
        texts = random.permutation(texts)
        raw[field.name] = texts
        column = pa.array(texts, pa.string())
        missing = pa.array(["", *vocabulary.schema.missing_values])
        is_missing = pc.is_in(column, value_set=missing)
        columns[field.name] = pc.if_else(is_missing, None, column)
    return raw, columns
