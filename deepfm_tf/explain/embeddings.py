"""The table of a model as files: Parquet, and TensorBoard's projector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepfm_tf.arrays import Array
from deepfm_tf.explain.field_report import count_rows
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.explain.names import FeatureNames
from deepfm_tf.fields import Field
from deepfm_tf.models import CTRModel

# Rows of the table that are in memory at a time.
BLOCK_ROWS = 65_536
_CONFIG = """\
embeddings {
  tensor_name: "features"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
}
"""


def export_embeddings(
    model: CTRModel,
    directory: str | Path,
    vocabulary: Any = None,
    *,
    dataset: Any = None,
    projector_rows: int = 10_000,
) -> None:
    """Write the features' vectors, with their names, for other tools.

    `embeddings.parquet` has a line for each row of the table, block by block:
    `field` and `value` (str), `id` (int32, within the field), `count` (int64,
    null without `dataset`), `first_order` (float32) and `vector` (list of
    float32; not of a logistic regression, which has none). Rows that fields
    share stand under the field that owns them.

    `vectors.tsv` and `metadata.tsv` hold the same for TensorBoard's projector
    (`tensorboard --logdir DIRECTORY`, or loaded at projector.tensorflow.org).

    Args:
        model: a model of this package.
        directory: made if it does not exist; files in it are replaced.
        vocabulary: names of the ids: a Vocabulary, or a mapping of field
            names to sequences, where position i names id i.
        dataset: `tf.data.Dataset` to count the features in, such as the
            training data, or None.
        projector_rows: int. Of each field, the ids that the projector gets:
            the first ones, which in a Vocabulary are the most frequent. It
            becomes slow beyond some ten thousand points.

    Example:

    >>> import tempfile
    >>> from deepfm_tf import FM, CategoricalField, Schema
    >>> field = CategoricalField("site", vocabulary_size=3)
    >>> model = FM(Schema((field,), label="click"), embedding_dim=2)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     export_embeddings(model, directory, {"site": ["?", "a", "b"]})
    ...     table = pq.read_table(Path(directory, "embeddings.parquet"))
    >>> table["value"].to_pylist()
    ['?', 'a', 'b']
    """
    model_terms = ModelTerms(model)
    names = FeatureNames(model_terms.schema, vocabulary)
    counts = None if dataset is None else count_rows(model_terms, dataset)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    schema = _arrow_schema(model_terms)
    with pq.ParquetWriter(directory / "embeddings.parquet", schema) as writer:
        for field, ids, rows, table in _blocks(model_terms):
            writer.write_table(
                _arrow_table(schema, names, counts, field, ids, rows, table)
            )
    if model_terms.embedding_dim:
        _write_projector(model_terms, names, counts, directory, projector_rows)


def _blocks(
    model_terms: ModelTerms, limit: int | None = None
) -> Iterator[tuple[Field, Array, Array, Array]]:
    """Field, ids, rows and values of parts of the table, field by field."""
    for number, field in enumerate(model_terms.schema.table_fields):
        first, stop = (
            model_terms.first_rows[number],
            model_terms.first_rows[number + 1],
        )
        if limit is not None:
            stop = min(stop, first + limit)
        for start in range(first, stop, BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, stop))
            yield (
                field,
                rows - first,
                rows,
                model_terms.table_rows(rows).numpy(),
            )


def _arrow_schema(model_terms: ModelTerms) -> pa.Schema:
    columns = [
        ("field", pa.string()),
        ("value", pa.string()),
        ("id", pa.int32()),
        ("count", pa.int64()),
        ("first_order", pa.float32()),
    ]
    if model_terms.embedding_dim:
        columns.append(
            ("vector", pa.list_(pa.float32(), model_terms.embedding_dim))
        )
    return pa.schema(columns)


def _arrow_table(
    schema: pa.Schema,
    names: FeatureNames,
    counts: Array | None,
    field: Field,
    ids: Array,
    rows: Array,
    table: Array,
) -> pa.Table:
    columns = {
        "field": pa.array([field.name] * len(ids)),
        "value": pa.array([names.value(field, id_) for id_ in ids.tolist()]),
        "id": pa.array(ids, pa.int32()),
        "count": (
            pa.nulls(len(ids), pa.int64())
            if counts is None
            else pa.array(counts[rows])
        ),
        "first_order": pa.array(np.ascontiguousarray(table[:, -1])),
    }
    if "vector" in schema.names:
        flat = pa.array(np.ascontiguousarray(table[:, :-1]).reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(
            flat, table.shape[1] - 1
        )
    return pa.table(columns, schema=schema)


def _write_projector(
    model_terms: ModelTerms,
    names: FeatureNames,
    counts: Array | None,
    directory: Path,
    limit: int,
) -> None:
    (directory / "projector_config.pbtxt").write_text(_CONFIG, encoding="utf-8")
    with (
        open(directory / "vectors.tsv", "w", encoding="utf-8") as vectors,
        open(directory / "metadata.tsv", "w", encoding="utf-8") as metadata,
    ):
        metadata.write("feature\tfield\tvalue\tcount\n")
        for field, ids, rows, table in _blocks(model_terms, limit):
            np.savetxt(vectors, table[:, :-1], fmt="%.6g", delimiter="\t")
            for id_, row in zip(ids.tolist(), rows.tolist(), strict=True):
                entries = (
                    names.feature(field, id_),
                    field.name,
                    names.value(field, id_),
                    "" if counts is None else str(counts[row]),
                )
                # Every kind of white space that would end a cell or a line.
                cells = (" ".join(entry.split()) for entry in entries)
                metadata.write("\t".join(cells) + "\n")
