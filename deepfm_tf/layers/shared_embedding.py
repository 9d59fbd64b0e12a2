"""One embedding table shared by all fields."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from deepfm_tf.errors import UserError, refuse_unknown
from deepfm_tf.layers.table.arguments import check_table_arguments
from deepfm_tf.layers.table.frozen_columns import without_gradient
from deepfm_tf.layers.table.id_range import check_ids
from deepfm_tf.layers.table.native_pooling import pool_natively
from deepfm_tf.layers.table.row_pooling import shared_pooling
from deepfm_tf.layers.table.rows import shared_rows
from deepfm_tf.layers.table.variable import (
    add_table,
    gather_rows,
    whole_table,
)
from deepfm_tf.row_shards import is_sharded


@keras.saving.register_keras_serializable("deepfm_tf")
class SharedEmbedding(keras.layers.Layer):
    """Looks up the latent vectors of all fields in one table.

    The embedding that the FM part and the deep part of DeepFM have in common:
    one variable holds the rows of every field, block after block, and one
    gather reads it. The gradient of the table is a `tf.IndexedSlices` that
    names only rows with a feature in the batch.

    Field i yields `e_i = sum_c x_c v_c` over its id columns c, where `v_c` is
    the row of the id and `x_c` its weight (1 where no weights are given). A
    multi-valued field has several id columns, others have one. A negative id
    marks a missing value or padding: its vector and its gradient are zero.

    The last fields are numeric if `values` are given, one column each. Such a
    field yields `x v`, where `v` is the first row of its block; a value that
    is not finite is missing and yields the second row, or, in a block of one
    row, nothing.

    Args:
        vocabulary_sizes: Sequence of ints. Rows of each block of the table,
            the out-of-vocabulary row included.
        embedding_dim: int. Length k of the latent vectors.
        columns_per_field: Sequence of ints, one per field. How many consecutive
            columns of `ids` belong to each field; 1 for a numeric one, which
            has none. Defaults to `None`: one each.
        field_tables: Sequence of ints, one per field. The block each field
            reads, shared or not. Defaults to `None`: field i reads block i.
        embeddings_initializer: Initializer of the latent vectors. Defaults to
            `"glorot_uniform"`, the book's Xavier initialisation.
        embeddings_regularizer: Regularizer of the whole table, which every step
            then reads and writes in full. Defaults to `None`.
        first_order: bool. Whether each row ends in one more column, zero at
            first: the first-order weight `w` of FM. One read then serves both
            orders. Defaults to `False`.
        factored: bool. Whether to give also what `DensePyramid` needs to
            multiply a numeric field's `x v` by a kernel as `x (v W)`, with one
            column in place of k: the vectors of all other fields side by side
            and then the factor of each row of the numeric fields; and these
            rows. Defaults to `False`.

    Call arguments:
        ids: Integer tensor. Ids within each field, from 0 (out of vocabulary)
            to the block's size less one. A larger one is refused in an eager
            call; a compiled one, which cannot look at no cost, reads the next
            block.
        weights: Float tensor, the x of the id columns. Defaults to `None`.
        values: Float tensor, the x of the numeric fields. Defaults to `None`.
        training: bool. Whether XLA compiles the step after the gather. The
            result is the same.

    Input shape:
        `ids` and `weights`: `(batch, num_ids)`, numeric fields left out.
        `values`: `(batch, num_values)`.

    Output shape:
        `(batch, num_fields, embedding_dim)`; or a tuple of it, with
        `first_order` `sum_i w_i x_i`, `(batch, 1)`, and with `factored`
        `(batch, num_others * embedding_dim + num_rows)` and `(num_rows,
        embedding_dim)`: first the `v` of each numeric field, then the rows for
        missing values of those that have one.

    Raises:
        ValueError: If a size, a count of columns or a block index is out of
            range, or if `ids` or `weights` have another number of columns; or,
            in an eager call, if an id is at or above the size of its block.
        TypeError: If `ids` are not integers.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import SharedEmbedding
    >>> embedding = SharedEmbedding((5, 7), embedding_dim=4)
    >>> embedding(np.array([[1, 6], [0, 2], [4, -1]])).shape
    TensorShape([3, 2, 4])

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1703.04247), figure 4.
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        embedding_dim: int,
        columns_per_field: Sequence[int] | None = None,
        field_tables: Sequence[int] | None = None,
        embeddings_initializer: Any = "glorot_uniform",
        embeddings_regularizer: Any = None,
        first_order: bool = False,
        factored: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        # Else Keras casts `weights` to the compute dtype on the way in.
        self.autocast = False
        check_table_arguments(
            vocabulary_sizes, embedding_dim, columns_per_field, field_tables
        )
        # Fields that attend, with their candidates: see AttentiveEmbedding.
        self.attention: tuple[Any, ...] = ()
        # For messages; the model knows them.
        self.field_names: Sequence[str] | None = None
        self.first_order = first_order
        self.factored = factored
        self.vocabulary_sizes = tuple(map(int, vocabulary_sizes))
        self.embedding_dim = int(embedding_dim)
        self.field_tables = field_tables and tuple(map(int, field_tables))
        self.columns_per_field = columns_per_field and tuple(
            map(int, columns_per_field)
        )
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer
        )
        self.embeddings_regularizer = keras.regularizers.get(
            embeddings_regularizer
        )

    @property
    def num_fields(self) -> int:
        """Fields, the numeric ones included."""
        return len(self.field_tables or self.vocabulary_sizes)

    @property
    def num_ids(self) -> int:
        """Id columns, had each field some."""
        return sum(self._columns_per_field())

    @property
    def num_columns(self) -> int:
        """Columns of the table."""
        return self.embedding_dim + self.first_order

    def build(
        self,
        ids_shape: Any = None,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> None:
        num_values = 0 if values_shape is None else values_shape[1]
        num_pooled = self.num_fields - num_values
        if num_pooled < 0 or (ids_shape is None) != (num_pooled == 0):
            raise UserError(
                "`ids` must hold the fields that are not in `values`, of "
                f"{self.num_fields} in all. Received: ids of shape "
                f"{ids_shape}, values of shape {values_shape}."
            )
        num_ids = sum(self._columns_per_field()[:num_pooled])
        for name, shape in (("ids", ids_shape), ("weights", weights_shape)):
            if shape is not None and tuple(shape[1:]) != (num_ids,):
                raise UserError(
                    f"`{name}` must have shape (batch, {num_ids}), all id "
                    f"columns. Received: shape={tuple(shape)}."
                )
        self.embeddings = add_table(
            self,
            (sum(self.vocabulary_sizes), self.num_columns),
            self.embeddings_initializer,
            self.embedding_dim,
            self.embeddings_regularizer,
        )
        # For optimizers that have a rule of its own for first-order weights.
        self.embeddings.first_order_columns = int(self.first_order)
        self._lay_out(num_pooled)

    def freeze(self, blocks: Sequence[int]) -> None:
        """Let training leave the vectors of some blocks as they are.

        They get no gradient, and the optimizers of this package neither
        decay nor regularize them. First-order weights go on learning.

        Args:
            blocks: Sequence of ints. Which blocks of the table; those that
                are not among them learn again.
        """
        first_rows = [0, *accumulate(self.vocabulary_sizes)]
        # For optimizers.
        self.embeddings.frozen_rows = tuple(
            (first_rows[block], first_rows[block + 1])
            for block in sorted(set(blocks))
        )
        tables = self.field_tables or range(self.num_fields)
        self._is_frozen_id = tuple(
            tables[field] in blocks for field in self._id_fields
        )

    def subset(
        self,
        fields: Sequence[int],
        table: Any = None,
        assume_all_present: bool = False,
    ) -> "SharedEmbedding":
        """A layer that embeds some of the fields, with the rows of this one.

        For inference: its table is this layer's, or a copy of it.

        Args:
            fields: Sequence of ints, ascending. Positions of the fields.
            table: Variable to read instead of this layer's table, of the same
                shape; rows are cast to this layer's type once they are read.
                Defaults to `None`.
            assume_all_present: bool. Whether no id will be negative, and no
                weights given: `lookup` then leaves out the masks. Defaults to
                `False`.

        Returns:
            A built SharedEmbedding of `len(fields)` fields.
        """
        columns = self._columns_per_field()
        tables = self.field_tables or range(self.num_fields)
        subset = SharedEmbedding(
            self.vocabulary_sizes,
            self.embedding_dim,
            columns_per_field=[columns[field] for field in fields],
            field_tables=[tables[field] for field in fields],
            first_order=self.first_order,
            dtype=self.dtype_policy,
            name=self.name,
        )
        subset.embeddings = self.embeddings if table is None else table
        subset._lay_out(sum(field < self._num_pooled for field in fields))
        if self.field_names is not None:
            subset.field_names = tuple(self.field_names[i] for i in fields)
        subset._assume_all_present = assume_all_present
        subset.built = True
        return subset

    def lookup(
        self, ids: Any = None, weights: Any = None, values: Any = None
    ) -> Any:
        """What `call` gives in inference, all columns of the table together.

        Returns:
            (batch, num_fields, num_columns), the first-order weights, times
            x, behind the embeddings.
        """
        ids = self._checked(ids)
        return self._pooling.pool_columns(
            self.read_rows(ids),
            None if values is None else self._read(self._rows.numeric),
            ids,
            weights,
            values,
            self._assume_all_present,
        )

    def read_rows(self, ids: Any) -> Any:
        """(batch, num_ids, num_columns): row by row; any of an id < 0."""
        if ids is None:
            return None
        rows = self._rows.of_ids(ids, self._assume_all_present)
        return self._read(rows)

    def check_ids(self, ids: Any) -> None:
        """Raise UserError if an id is at or above the size of its block.

        Args:
            ids: (batch, num_ids) of integers, not of a graph.
        """
        check_ids(ids, self._id_fields, self._id_sizes, self.field_names)

    def _checked(self, ids: Any) -> Any:
        if ids is not None and tf.executing_eagerly():
            self.check_ids(ids)
        return None if ids is None else self._rows.cast(ids)

    def _columns_per_field(self) -> Sequence[int]:
        return self.columns_per_field or [1] * self.num_fields

    def _lay_out(self, num_pooled: int) -> None:
        """Where the id columns and the numeric fields find their rows."""
        self._num_pooled = num_pooled
        self._assume_all_present = False
        counts = self._columns_per_field()[:num_pooled]
        tables = self.field_tables or range(self.num_fields)
        first_rows = [0, *accumulate(self.vocabulary_sizes)]
        # (num_ids,)
        fields = [field for field, n in enumerate(counts) for _ in range(n)]
        id_rows = tuple(first_rows[tables[field]] for field in fields)
        self._id_fields = tuple(fields)
        self._is_frozen_id = (False,) * len(fields)
        self._id_sizes = tuple(
            self.vocabulary_sizes[tables[field]] for field in fields
        )
        tables = tables[num_pooled:]
        has_missing = tuple(self.vocabulary_sizes[t] > 1 for t in tables)
        missing = tuple(i for i, has in enumerate(has_missing) if has)
        self._rows = shared_rows(
            id_rows,
            tuple(first_rows[table] for table in tables),
            missing,
            first_rows[-1],
        )
        self._pooling = shared_pooling(
            tuple(fields), has_missing, self.embedding_dim, self.factored
        )

    def call(
        self,
        ids: Any = None,
        weights: Any = None,
        values: Any = None,
        training: bool | None = None,
    ) -> Any:
        return self.cast_outputs(self.pool(ids, weights, values, training)[0])

    def pool(self, ids: Any, weights: Any, values: Any, training: Any) -> Any:
        """What `call` gives, uncast, and the rows of the ids, one by one."""
        ids = self._checked(ids)
        if training or is_sharded(self.embeddings):
            if not self.attention and not any(self._is_frozen_id):
                by = (self._rows, self._pooling, self.embeddings)
                if found := pool_natively(*by, ids, weights, values):
                    return found, None
            vectors = gather_rows(self.embeddings, self._rows, ids, values)
            if any(self._is_frozen_id):
                vectors = without_gradient(
                    vectors, ids, self._is_frozen_id, self.embedding_dim
                )
            pooled = self._pooling.fused_pool(vectors, ids, weights, values)
            return pooled, vectors
        vectors = self.read_rows(ids)
        numeric = self._read(tf.constant(self._rows.numeric, "int32"))
        pooled = self._pooling.pool(vectors, numeric, ids, weights, values)
        return pooled, vectors

    def cast_outputs(self, outputs: tuple[Any, ...]) -> Any:
        """In the layer's precision; the embeddings alone if that is all."""
        # (batch, num_fields, embedding_dim) and, if asked for, (batch, 1)
        outputs = tuple(ops.cast(x, self.compute_dtype) for x in outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def compute_output_shape(
        self,
        ids_shape: Any = None,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> Any:
        batch = (ids_shape or values_shape)[0]
        shapes: list[tuple[Any, ...]] = [
            (batch, self.num_fields, self.embedding_dim)
        ]
        if self.first_order:
            shapes.append((batch, 1))
        if self.factored:
            num_values = 0 if values_shape is None else values_shape[1]
            others = (self.num_fields - num_values) * self.embedding_dim
            num_rows = len(self._rows.numeric)
            shapes += [(batch, others + num_rows)]
            shapes += [(num_rows, self.embedding_dim)]
        return tuple(shapes) if len(shapes) > 1 else shapes[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_sizes": self.vocabulary_sizes,
            "embedding_dim": self.embedding_dim,
            "columns_per_field": self.columns_per_field,
            "field_tables": self.field_tables,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
            "first_order": self.first_order,
            "factored": self.factored,
        }

    def _read(self, rows: Any) -> Any:
        table = whole_table(self.embeddings)
        return ops.cast(tf.gather(table, rows), self.variable_dtype)
