"""The terms that a model's logit is the sum of, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, combinations
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.kernels import on_cpu
from deepfm_tf.models import CTRModel, packed_inputs
from deepfm_tf.models.batches import check_dataset
from deepfm_tf.packed_layout import PackedLayout

# Floats that a step over all pairs of fields may take, 64 MB.
MAX_PAIR_FLOATS = 2**24
# What the declared terms may miss the logits by, of 1 + the size of all terms.
_TOLERANCE = 1e-3
# Rows that are made up to compare the two.
_CHECK_ROWS = 16


class ModelTerms:
    """A model taken apart: rows of its table, pooled fields, pairs, deep part.

    All methods are TensorFlow graphs of packed inputs (see `CTRModel`), so
    they run eagerly, inside `tf.function` and inside an exported signature.
    F is the number of fields in `schema.embedded_fields`, k the length of the
    latent vectors, 0 in a logistic regression.

    Args:
        model: a model of this package, or one of your own that declares how it
            is taken apart (see `CTRModel`).

    Attributes:
        fields: tuple of str. Names of the F fields, in the order of the
            packed inputs.
        pair_fields: list of (i, j), i < j. Positions of the fields of a pair.
        has_pairs, has_deep: bool. Whether the logit has pair terms, a deep
            part.
    """

    def __init__(self, model: CTRModel) -> None:
        if not isinstance(model, CTRModel) or not model.can_be_taken_apart:
            raise UserTypeError(
                "`model` must be a LogisticRegression, FM, DeepFM, "
                "WideAndDeep or NFM of deepfm_tf, or a CTRModel that "
                "declares the terms of its logits (see CTRModel). Received: "
                f"{type(model).__name__}{missing_declarations(model)}."
            )
        self.model = model
        self.schema = schema = model.schema
        self.fields = tuple(f.name for f in schema.embedded_fields)
        self.pair_fields = list(combinations(range(len(self.fields)), 2))
        self.has_pairs, self.has_deep = model.has_pairs, model.has_deep
        self._table = model.embedding_layer.embeddings
        self.embedding_dim = self._table.shape[1] - 1
        self.first_rows = [0, *accumulate(schema.vocabulary_sizes)]
        starts = [self.first_rows[table] for table in schema.field_tables]
        # For each column of `features`: its field, and the field's first row.
        self.column_fields = PackedLayout(schema.fields).column_fields
        self._column_rows = np.array(starts, np.int64)[self.column_fields]
        self._has_missing = np.array(
            [f.missing == "value" for f in schema.numeric_fields]
        )
        inputs, arguments = packed_inputs(schema)
        # Keras before 3.13 takes no input as an output.
        self._arguments = keras.Model(
            inputs,
            {
                name: keras.layers.Identity(dtype="float32")(x)
                for name, x in arguments.items()
            },
        )
        self._logits = keras.Model(model.input, model.logits)
        with on_cpu():
            self._check_declaration()

    def traced(
        self, function: Callable[[Mapping[str, Any]], Any]
    ) -> Callable[[Mapping[str, Any]], Any]:
        """`function` of packed inputs as a graph, for any number of rows.

        What is called takes arrays or tensors, and computes on the CPU.
        """
        specs = {
            name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)
            for name, tensor in self.model.input.items()
        }
        graph = tf.function(function, input_signature=[specs], autograph=False)

        def call(packed: Mapping[str, Any]) -> Any:
            with on_cpu():
                return graph(
                    {n: tf.cast(packed[n], x.dtype) for n, x in specs.items()}
                )

        return call

    @property
    def bias(self) -> tf.Tensor:
        """`w_0`, a float32 scalar."""
        return tf.reshape(tf.convert_to_tensor(self.model.linear_term.bias), [])

    def logits(self, packed: Mapping[str, Any]) -> tf.Tensor:
        """What the model itself computes, (batch,)."""
        return self._logits(dict(packed), training=False)[:, 0]

    def features(
        self, packed: Mapping[str, Any]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The features of each example, one a column.

        Returns:
            `rows` of the shared table (batch, columns) int64, their `x`
            float32, means divided out, and whether the feature is there, bool;
            where it is not, `x` is 0 and the row means nothing. Columns are
            the id columns, then the numeric fields.
        """
        arguments = self._arguments(dict(packed), training=False)
        rows, factors, present = [], [], []
        if "ids" in arguments:
            ids = tf.cast(arguments["ids"], tf.int64)
            there = tf.greater_equal(ids, 0)
            x = arguments.get("weights", tf.ones_like(ids, tf.float32))
            rows.append(tf.maximum(ids, 0))
            factors.append(tf.where(there, x, 0.0))
            present.append(there)
        if "values" in arguments:
            values = arguments["values"]
            finite = tf.math.is_finite(values)
            missing = tf.logical_and(~finite, self._has_missing)
            rows.append(tf.cast(missing, tf.int64))
            factors.append(
                tf.where(finite, values, tf.cast(missing, tf.float32))
            )
            present.append(tf.logical_or(finite, missing))
        return (
            tf.concat(rows, axis=1) + self._column_rows,
            tf.concat(factors, axis=1),
            tf.concat(present, axis=1),
        )

    def table_rows(self, rows: Any) -> tf.Tensor:
        """Rows of the table, (..., k + 1): the vector, then first order."""
        return tf.gather(self._table.value, rows)

    def first_order_weights(self) -> Array:
        """The first-order weight of each row of the table, (rows,)."""
        num_rows, block = self.first_rows[-1], 2**20
        return np.concatenate(
            [
                self.table_rows(np.arange(start, min(start + block, num_rows)))[
                    :, -1
                ].numpy()
                for start in range(0, num_rows, block)
            ]
        )

    def pooled(self, packed: Mapping[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """`sum_s x_s v_s` (batch, F, k) and `sum_s x_s w_s` (batch, F).

        Of a field that attends to a candidate `v_U(A)` and `sum_s x_s w_s`.
        """
        rows, x, present = self.features(packed)
        # (batch, columns, k + 1)
        vectors = self.table_rows(rows)
        # (columns, batch, k + 1)
        terms = tf.transpose(vectors * x[:, :, None], [1, 0, 2])
        fields = tf.constant(self.column_fields)
        # (batch, F, k + 1); columns ascend by field.
        sums = tf.transpose(tf.math.segment_sum(terms, fields), [1, 0, 2])
        shape = (None, len(self.fields), self.embedding_dim + 1)
        sums = tf.ensure_shape(sums, shape)
        pooled = sums[:, :, :-1]
        if self.model.embedding_layer.attention:
            # Columns of ids come first.
            attend = self.model.embedding_layer.attend
            pooled = attend(pooled, vectors, present)
        return pooled, sums[:, :, -1]

    def pairs(self, vectors: tf.Tensor) -> tf.Tensor:
        """`<v_i, v_j>` of (batch, F, k) vectors, (batch, pairs)."""
        left, right = np.transpose(
            np.array(self.pair_fields, np.int64).reshape(-1, 2)
        )
        # Not a product of matrices, which rounds to TF32 on a GPU.
        products = tf.gather(vectors, left, axis=1) * tf.gather(
            vectors, right, axis=1
        )
        return tf.reduce_sum(products, axis=2)

    def deep(self, vectors: tf.Tensor) -> tf.Tensor:
        """The deep part of the logit, of (batch, F, k) vectors, (batch,)."""
        return tf.cast(self.model.deep_logits(vectors), tf.float32)[:, 0]

    def batches(self, dataset: Any) -> Iterator[dict[str, tf.Tensor]]:
        """Packed inputs of a data set, few enough rows to pair all fields."""
        size = len(self.pair_fields) * max(self.embedding_dim, 1)
        limit = max(1, MAX_PAIR_FLOATS // max(size, 1))
        found = False
        check_dataset(dataset)
        for element in dataset:
            is_labelled = isinstance(element, (tuple, list)) and element
            packed = element[0] if is_labelled else element
            if not isinstance(packed, Mapping):
                raise UserTypeError(
                    "The data set to explain a model on must hold batches of "
                    "packed inputs, or of (inputs, label). Received: "
                    f"{type(element).__name__}. Make it with "
                    "`dataset_from_memory` or `PreparedData.dataset`."
                )
            num_rows = int(tf.shape(next(iter(packed.values())))[0])
            for start in range(0, num_rows, limit):
                found = True
                yield {
                    name: value[start : start + limit]
                    for name, value in packed.items()
                }
        if not found:
            raise UserError("The data set to explain a model on has no rows.")

    def _check_declaration(self) -> None:
        """Raise a UserError if the terms do not add up to the logits."""
        packed = self._made_up_rows()
        logits = tf.cast(self.logits(packed), tf.float32).numpy()
        vectors, first_order = self.pooled(packed)
        terms = [first_order, tf.fill((_CHECK_ROWS, 1), self.bias)]
        if self.has_pairs and self.pair_fields:
            terms.append(self.pairs(vectors))
        if self.has_deep:
            terms.append(self.deep(vectors)[:, None])
        columns = tf.concat(terms, axis=1).numpy()
        total = columns.sum(axis=1)
        # NaN, of a training that diverged, is no sign of a wrong declaration.
        difference = np.nan_to_num(np.abs(logits - total), posinf=0.0)
        size = np.nan_to_num(1 + np.abs(columns).sum(axis=1))
        worst = np.argmax(difference / size)
        if difference[worst] <= _TOLERANCE * size[worst]:
            return
        declared = f"`linear_term`, `has_pairs`={self.has_pairs}"
        declared += ", `deep_logits`" * self.has_deep
        raise UserError(
            f"{type(self.model).__name__}'s logits are not those of the terms "
            f"that it declares ({declared}): the model gives "
            f"{logits[worst]:.4g} where they give {total[worst]:.4g}. Declare "
            "all terms of the logits, and no others: see CTRModel.",
            argument="model",
        )

    def _made_up_rows(self) -> dict[str, Array]:
        """Packed inputs: half of the rows have a field's first ids."""
        generator = np.random.default_rng(0)
        shapes = {
            name: (_CHECK_ROWS, tensor.shape[1])
            for name, tensor in self.model.input.items()
        }
        packed = {
            name: generator.uniform(0.5, 1.0, shape).astype(np.float32)
            for name, shape in shapes.items()
        }
        if "ids" in shapes:
            columns = self.column_fields[: shapes["ids"][1]]
            tables = np.asarray(self.schema.field_tables)[columns]
            sizes = np.asarray(self.schema.vocabulary_sizes)[tables]
            limits = np.tile(sizes, (_CHECK_ROWS, 1))
            limits[::2] = np.minimum(limits[::2], 8)
            packed["ids"] = generator.integers(limits).astype(np.int32)
        return packed


def missing_declarations(model: Any) -> str:
    """Which of the declarations a CTRModel lacks, for a message."""
    if not isinstance(model, CTRModel):
        return ""
    missing = [
        f"`{name}`"
        for name in ("shared_embedding", "linear_term")
        if getattr(model, name) is None
    ]
    if not (model.has_pairs or model.has_deep):
        missing.append("`has_pairs = True` or `deep_logits`")
    return f", which lacks {' and '.join(missing)}"
