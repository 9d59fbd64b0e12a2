"""The vectors of a field by its values: read them, or set them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.fields import Field
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.layers.table.stored_rows import read_rows, write_first_columns
from deepfm_tf.models.batches import check_model
from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.raw_values import Bad, missing_to_null, to_texts

# What `explain.export_embeddings` calls the first ids.
_FIRST_IDS = {"(OOV)": 0, "(missing)": 1}
# Values that a message names.
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class FieldVectors:
    """What a model's table holds for some values of a field.

    Args:
        values: (n,) texts.
        ids: (n,) int. Within the field; 0 is the row that all values share
            which the vocabulary does not have.
        vectors: (n, embedding_dim) float32.
        first_order: (n,) float32, the first-order weights.
    """

    values: Array
    ids: Array
    vectors: Array
    first_order: Array


@dataclasses.dataclass(frozen=True)
class VectorsSet:
    """What became of the vectors that `set_embeddings` was given.

    Args:
        field: str. The field's name.
        num_set: int. Values of the vocabulary that got a vector.
        drawn: texts. Values of the vocabulary that keep what they had.
        unknown: texts. Given values that the vocabulary does not have:
            unseen in training, or rarer than `min_count`.
    """

    field: str
    num_set: int
    drawn: tuple[str, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        num_values = self.num_set + len(self.drawn)
        lines = [
            f"'{self.field}': {self.num_set:,} of {num_values:,} values "
            "received a pretrained vector"
        ]
        if self.drawn:
            lines.append(
                f"{len(self.drawn):,} keep their initial vector "
                f"({_some(self.drawn)})"
            )
        if self.unknown:
            lines.append(
                f"{len(self.unknown):,} vectors are for values that are not "
                f"in the vocabulary ({_some(self.unknown)})"
            )
        return "; ".join(lines) + "."


def embeddings_of(
    model: CTRModel,
    field: str,
    vocabulary: Any,
    values: Sequence[Any] | None = None,
) -> FieldVectors:
    """The vectors and first-order weights of a field's values.

    Args:
        model: a model of this package.
        field: str. A categorical or multi-valued field with a counted
            vocabulary.
        vocabulary: the Vocabulary that the model was made for.
        values: what to look up, each with the text that training data would
            have given it. A value that the vocabulary does not have gets
            the row of id 0, a missing one that of missing. Defaults to
            `None`: all values of the vocabulary, in the order of their ids.

    Raises:
        ValueError: no such field, or one of another kind; `values` that is
            no list.

    Example:

    >>> from deepfm_tf import FM, CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> model = FM(vocabulary.schema, embedding_dim=2)
    >>> found = embeddings_of(model, "site", vocabulary, ["a", "new"])
    >>> found.ids.tolist(), found.vectors.shape
    ([3, 0], (2, 2))
    """
    known, rows = _rows_of(model, field, vocabulary)
    if isinstance(values, (str, bytes)):
        raise UserTypeError(
            "`values` must be a list of values, or None. Received: "
            f"{values!r}. Give [{values!r}] for this one."
        )
    if values is None:
        texts: Any = vocabulary.values[vocabulary.schema.owner(known).name]
        first = vocabulary.first_id(known)
        ids = np.arange(first, first + len(texts))
    else:
        column = _texts(known, vocabulary, to_arrow(values, "values"))
        ids = vocabulary.look_up(known, column)
        if (ids < 0).any():
            raise UserError(
                f"`values` must not be missing: field '{field}' has no row "
                "for it (missing='nothing')."
            )
        texts = np.array(column.to_pylist(), dtype=object)
    found = read_rows(model.embedding_layer.embeddings, rows.start + ids)
    return FieldVectors(
        np.asarray(texts, dtype=object), ids, found[:, :-1], found[:, -1]
    )


def set_embeddings(
    model: CTRModel,
    field: str,
    vocabulary: Any,
    source: Any,
) -> VectorsSet:
    """Give a field's values vectors that something else has learnt.

    Do it before training, and say `model.freeze_embeddings = [field]` and
    compile the model if they shall stay. Values without a vector keep what
    the initializer drew. First-order weights are left alone.

    Args:
        model: a model of this package, with vectors.
        field: str. A categorical or multi-valued field with a counted
            vocabulary; fields that share its rows get them too.
        vocabulary: the Vocabulary that the model was made for.
        source: a Parquet file, DataFrame, Arrow table or dict with the
            columns `value` and `vector` (a list of `embedding_dim` numbers a
            row). If it has a column `field` as well, as what
            `explain.export_embeddings` writes, the rows of this field.

    Returns:
        A VectorsSet, whose text says how many values were met.

    Raises:
        ValueError: vectors of another length, or with a number that is not
            finite; a value that stands there twice; none that the vocabulary
            has; no such field, or one of another kind.

    Example:

    >>> from deepfm_tf import FM, CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> model = FM(vocabulary.schema, embedding_dim=2)
    >>> learnt = {"value": ["b", "z"], "vector": [[1.0, 2.0], [3.0, 4.0]]}
    >>> told = set_embeddings(model, "site", vocabulary, learnt)
    >>> told.num_set, told.drawn, told.unknown
    (1, ('a',), ('z',))
    >>> embeddings_of(model, "site", vocabulary, ["b"]).vectors.tolist()
    [[1.0, 2.0]]
    """
    known, rows = _rows_of(model, field, vocabulary)
    owner = vocabulary.schema.owner(known)
    dim = model.embedding_layer.embedding_dim
    if not model.embedding_layer.first_order:
        raise UserError(
            f"`model` must have vectors. Received: {type(model).__name__}."
        )
    values, lists = _columns(source, known.name, owner.name)
    texts = _texts(known, vocabulary, values)
    vectors = _vectors(lists, dim)
    named = np.array(texts.to_pylist(), dtype=object)
    ids = _ids(known, vocabulary, texts, named)
    unknown = ids < 0
    _check_once(named, ids)
    table = model.embedding_layer.embeddings
    if not len(ids):
        raise UserError(
            f"`source` must have a vector at least, of the field '{field}' "
            "where it has a column `field`. Received: none."
        )
    if unknown.all():
        raise UserError(
            "`source` must have vectors of values that the vocabulary of "
            f"'{field}' has. Received: {len(ids)} rows, none of which it has "
            f"({_some(named)}), where it has "
            f"{_some(vocabulary.values[owner.name])}."
        )
    chosen = rows.start + ids[~unknown]
    write_first_columns(table, chosen, vectors[~unknown])
    first = vocabulary.first_id(known)
    is_set = np.isin(np.arange(first, len(rows)), ids)
    return VectorsSet(
        known.name,
        int(is_set.sum()),
        tuple(vocabulary.values[owner.name][~is_set]),
        tuple(map(str, named[unknown])),
    )


def _rows_of(model: Any, name: str, vocabulary: Any) -> tuple[Field, range]:
    """The field, and the rows of the table that it reads."""
    check_model(model, with_schema=True)
    schema = model.schema
    if model.embedding_layer is None or _table(vocabulary) != _table(model):
        raise UserError(
            "`vocabulary` must be the one that the model was made for, and "
            "the model one with a shared table. Received another."
        )
    field = schema.field(name)
    owner = schema.owner(field)
    if (
        owner.name not in vocabulary.values
        or not owner.is_counted
        or (not owner.is_text)
    ):
        raise UserError(
            "`field` must be a categorical or multi-valued field with a "
            "counted vocabulary, whose values have rows of their own. "
            f"Received: '{name}', "
            + (
                f"hashed into {owner.hash_buckets} buckets."
                if owner.hash_buckets
                else f"a {owner.type_name} field."
            )
        )
    number = [f.name for f in schema.table_fields].index(owner.name)
    start = sum(schema.vocabulary_sizes[:number])
    return field, range(start, start + schema.vocabulary_sizes[number])


def _table(known: Any) -> list[tuple[str, int | None]]:
    """The blocks of the table, of a model or of a vocabulary."""
    fields = known.schema.table_fields
    return [(field.name, field.vocabulary_size) for field in fields]


def _columns(source: Any, *names: str) -> tuple[pa.Array, list[Any]]:
    """The values and their vectors, of the rows of the named fields."""
    if isinstance(source, (str, Path)):
        try:
            source = pq.read_table(source)
        except pa.ArrowInvalid as error:
            raise UserError(
                f"`source` must be a Parquet file. Received: {source}: {error}"
            ) from error
    given = getattr(source, "column_names", source)  # of an Arrow table
    for name in ("value", "vector"):
        if name not in given:
            raise UserError(
                "`source` must have the columns `value` and `vector`. "
                f"Received: {', '.join(map(str, given))}."
            )
    value, vector = (
        to_arrow(source["value"], "value"),
        _as_list(source["vector"]),
    )
    if len(value) != len(vector):
        raise UserError(
            "`source` must have a vector for each value. Received: "
            f"{len(value)} values, {len(vector)} vectors."
        )
    if "field" not in given:
        return value, vector
    fields = np.asarray(_as_list(source["field"]))
    rows = np.flatnonzero(np.isin(fields, names))
    return value.take(pa.array(rows)), [vector[row] for row in rows]


def _as_list(column: Any) -> list[Any]:
    """The values of a column of a frame, an Arrow table or a dict."""
    is_arrow = isinstance(column, (pa.Array, pa.ChunkedArray))
    return column.to_pylist() if is_arrow else list(column)


def _texts(field: Field, vocabulary: Any, values: pa.Array) -> pa.Array:
    bad: Bad = {}
    texts = to_texts(values, field.name, bad)
    for _, value, reason in bad.values():
        raise UserError(
            f"`value` must have a text. Received: {value!r}, {reason}."
        )
    return missing_to_null(texts, vocabulary.schema.missing_values)


def _ids(field: Field, vocabulary: Any, texts: pa.Array, named: Array) -> Array:
    """(n,) ids within the field; -1 where the vocabulary has none."""
    ids = np.array(vocabulary.look_up(field, texts), np.int64)
    ids[ids == 0] = -1
    for name, id_ in _FIRST_IDS.items():
        if id_ < vocabulary.first_id(field):
            ids[(named == name) & (ids < 0)] = id_
    return ids


def _vectors(rows: list[Any], dim: int) -> Array:
    """(n, dim) float32 of lists."""
    kinds = (list, tuple, np.ndarray)
    lengths = {len(row) if isinstance(row, kinds) else 0 for row in rows}
    if lengths - {dim}:
        raise UserError(
            f"Each `vector` must hold {dim} numbers, the model's "
            f"`embedding_dim`. Received: {', '.join(map(str, sorted(lengths)))}"
            "."
        )
    vectors = np.array(rows, np.float32).reshape(-1, dim)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise UserError(
            "Each `vector` must hold finite numbers. Received: "
            f"{vectors[row].tolist()} in row {row}."
        )
    return vectors


def _check_once(named: Array, ids: Array) -> None:
    """Raise for two vectors of one value, or of two texts of one id."""
    seen: dict[Any, Any] = {}
    for text, id_ in zip(named.tolist(), ids.tolist(), strict=True):
        key = text if id_ < 0 else id_
        if key in seen:
            raise UserError(
                "`source` must have one vector for each value. Received two "
                f"for {text!r}"
                + (f" (also written {seen[key]!r})" * (seen[key] != text))
                + "."
            )
        seen[key] = text


def _some(values: Sequence[Any] | Array) -> str:
    shown = ", ".join(repr(value) for value in list(values)[:_SHOWN])
    return shown + ", …" * (len(values) > _SHOWN)
