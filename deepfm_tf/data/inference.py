"""A first schema for data that nobody has described yet."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.data.columns import read_texts
from deepfm_tf.errors import UserError
from deepfm_tf.fields import (
    CategoricalField,
    Field,
    MultiValuedField,
    NumericField,
)
from deepfm_tf.files.readers import (
    Source,
    column_names,
    list_files,
    read_blocks,
)
from deepfm_tf.files.text import TextFormat
from deepfm_tf.raw_values import parse_numbers
from deepfm_tf.schema import Schema

# Enough rows to tell a column's kind, few enough to take a second.
_MAX_ROWS = 200_000
# A whole number with more values than this measures; with fewer, it names.
_MAX_NAMES = 64
# So many rows for each value beside the commonest: amounts that recur.
_ROWS_TO_RECUR = 5
# Ids, phone numbers, hashes: a number with this many digits is a name.
_MAX_DIGITS = 10
# "Unique in each row" is evidence only where there are rows enough.
_MIN_ROWS_FOR_UNIQUE = 100
_MOSTLY_UNIQUE = 0.95
_SEPARATORS = ("|", ";")
# What a whole number names, by the name of its column.
_ID_NAME = re.compile(
    r"(^|_| )(id|ids|key|code|zip|hash|user|item|product|movie|ad|campaign|"
    r"creative|advertiser|publisher|site|domain|app|device|page|category|"
    r"brand|shop|tag|genre|city|region|country)$",
    re.IGNORECASE,
)
_MEASURED = (
    ": if the numbers name things, as ids do, say so with `categorical` "
    "(--categorical)"
)


def infer_schema(
    source: Source,
    label: str,
    *,
    text_format: TextFormat | None = None,
    positive_labels: Sequence[str] | None = None,
    negative_labels: Sequence[str] | None = None,
    missing_values: Sequence[str] = (),
    example_weight: str | None = None,
    categorical: Sequence[str] = (),
) -> Schema:
    """What `Schema.infer` does; see there.

    A column is left out if it is constant, missing throughout, or has
    another value in each row. Text is categorical, or multi-valued where
    values stand between `|` or `;`. Numbers are numeric, unless they are
    few, long, begin with zeros, are mostly the same and else recur, or the
    column is called an id.
    """
    names = column_names(source, text_format)
    if isinstance(categorical, str):
        categorical = (categorical,)
    table = _head(source, [*names, *categorical], label, text_format)
    if not table.num_rows:
        files = ", ".join(list_files(source) or ["the data"])
        raise UserError(
            "The data to infer a schema from must have at least one row. "
            f"Received: none in {files}."
        )
    fields: list[Field] = []
    remarks: dict[str, list[str]] = {}
    for name in names:
        if name in (label, example_weight):
            continue
        if not name:
            remarks.setdefault("left out: no name", []).append(name)
            continue
        if name in categorical:
            fields.append(CategoricalField(name))
            continue
        field, note = _infer_field(table.column(name), name, missing_values)
        if field is not None:
            fields.append(field)
        if note:
            remarks.setdefault(note, []).append(name)
    notes = [
        f"{', '.join(map(repr, named))}: {note}."
        for note, named in remarks.items()
    ]
    if not fields:
        raise UserError(
            "No column can be a field: " + " ".join(notes) + " Write the "
            "schema yourself if you disagree."
        )
    schema = Schema(
        tuple(fields),
        label,
        missing_values=tuple(missing_values),
        notes=tuple(notes),
        example_weight=example_weight,
    )
    if positive_labels:
        schema = dataclasses.replace(
            schema, positive_labels=tuple(positive_labels)
        )
    if negative_labels:
        schema = dataclasses.replace(
            schema, negative_labels=tuple(negative_labels)
        )
    return schema


def _head(
    source: Source,
    names: Sequence[str],
    label: str,
    text_format: TextFormat | None,
) -> pa.Table:
    tables, num_rows = [], 0
    wanted = [*dict.fromkeys([*(n for n in names if n), label])]
    blocks = read_blocks(source, wanted, text_format)
    for block in itertools.islice(blocks, 64):
        table, _ = block.read(wanted)
        tables.append(table)
        num_rows += table.num_rows
        if num_rows >= _MAX_ROWS:
            break
    if not tables:
        return pa.table({name: [] for name in wanted})
    return pa.concat_tables(tables, promote_options="permissive")


def _infer_field(
    column: pa.ChunkedArray, name: str, missing_values: Sequence[str]
) -> tuple[Field | None, str]:
    texts = read_texts(column, name, missing_values)
    present = texts.drop_null()
    unique = pc.unique(present)
    if not len(present):
        return None, "left out, as it is always missing"
    if len(unique) == 1 and not texts.null_count:
        return None, f"left out, as it is always {unique[0].as_py()!r}"
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(
        column.type
    )
    if is_list:
        return MultiValuedField(name), "holds lists"
    numbers = parse_numbers(unique)
    is_numeric = not np.isnan(numbers).any()
    is_whole = is_numeric and bool((numbers == np.floor(numbers)).all())
    # Measurements may all differ; names that do cannot be learnt.
    share = 1.0 if is_whole else _MOSTLY_UNIQUE
    enough = len(texts) >= _MIN_ROWS_FOR_UNIQUE
    if (
        enough
        and (is_whole or not is_numeric)
        and (len(unique) >= share * len(texts))
    ):
        return None, "left out, as nearly every row has a value of its own"
    if not is_numeric:
        return _text_field(unique, name)
    longest = pc.max(pc.utf8_length(unique)).as_py()
    leading_zero = pc.any(pc.match_substring_regex(unique, r"^0\d")).as_py()
    if is_whole and (leading_zero or longest > _MAX_DIGITS):
        return CategoricalField(
            name
        ), "taken as names, being long or zero-led numbers"
    if is_whole and _ID_NAME.search(name):
        return CategoricalField(name), "taken as names, as it is called an id"
    # "1.0" may be written "1" in serving; as a number it is the same.
    has_point = pc.any(pc.match_substring(unique, ".")).as_py()
    if is_whole and len(unique) <= _MAX_NAMES and not has_point:
        return CategoricalField(name), ""
    # Such as capital gains, nearly all zero: each amount has its own meaning,
    # which a line through the logarithms cannot have.
    most = pc.max(pc.value_counts(present).field("counts")).as_py()
    others = len(present) - most
    if (
        is_whole
        and not has_point
        and most > others
        and others >= _ROWS_TO_RECUR * (len(unique) - 1)
    ):
        return CategoricalField(
            name
        ), "taken as names, being mostly one number and others that recur"
    values = parse_numbers(present)
    low, median, high = np.quantile(values, (0.0, 0.5, 0.99))
    doubt = _MEASURED if is_whole else ""
    if low >= 0 and high > 20 * max(median, 1.0):
        return NumericField(
            name, scaling="log"
        ), f"scaled by the logarithm, having a long tail{doubt}"
    return NumericField(name), f"taken as measurements{doubt}" if doubt else ""


def _text_field(unique: pa.Array, name: str) -> tuple[Field, str]:
    for separator in _SEPARATORS:
        parts = pc.split_pattern(unique, separator)
        lengths = pc.list_value_length(parts).to_numpy(zero_copy_only=False)
        # Parts must recur: otherwise the separator is only punctuation.
        recurring = len(pc.unique(parts.flatten())) < 0.75 * lengths.sum()
        if (lengths > 1).mean() >= 0.2 and recurring:
            longest = int(lengths.max())
            field = MultiValuedField(
                name, separator=separator, max_length=min(longest, 16)
            )
            return field, f"holds up to {longest} values between {separator!r}"
    return CategoricalField(name), ""
