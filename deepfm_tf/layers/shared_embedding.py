"""One embedding table shared by all fields."""

from collections.abc import Sequence
from itertools import accumulate
from numbers import Integral
from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("deepfm_tf")
class SharedEmbedding(keras.layers.Layer):
    """Looks up the latent vectors of all fields in one table.

    The embedding that the FM part and the deep part of DeepFM have in common:
    one variable holds the rows of every field, block after block, and one
    gather reads it. The gradient of the table is a `tf.IndexedSlices`.

    Field i yields `e_i = sum_s x_s v_s` over its slots s, where `v_s` is the
    row of the slot's id and `x_s` its weight (1 where no weights are given). A
    slot is one column of `ids`; a multi-valued field has several. A negative
    id marks a missing or padding slot: its vector and its gradient are zero.

    Args:
        vocabulary_sizes: Sequence of ints. Rows of each block of the table,
            the out-of-vocabulary row included.
        embedding_dim: int. Length k of the latent vectors.
        slots_per_field: Sequence of ints, one per field. How many consecutive
            columns of `ids` belong to each field. Defaults to `None`: one each.
        field_tables: Sequence of ints, one per field. The block each field
            reads, shared or not. Defaults to `None`: field i reads block i.
        embeddings_initializer: Initializer of the table. Defaults to
            `"glorot_uniform"`, the book's Xavier initialisation.
        embeddings_regularizer: Regularizer of the whole table, which every step
            then reads and writes in full. Defaults to `None`.

    Call arguments:
        ids: Integer tensor. Ids within each field, from 0 (out of vocabulary)
            to the block's size less one; a larger one reads the next block.
        weights: Float tensor, the x of the equation. Defaults to `None`.

    Input shape:
        `ids` and `weights`: `(batch, num_slots)`.

    Output shape:
        `(batch, num_fields, embedding_dim)`.

    Raises:
        ValueError: If a size, slot count or block index is out of range, or if
            `ids` or `weights` do not have one column per slot.
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
        slots_per_field: Sequence[int] | None = None,
        field_tables: Sequence[int] | None = None,
        embeddings_initializer: Any = "glorot_uniform",
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # Else Keras casts `weights` to the compute dtype on the way in.
        self.autocast = False
        if not _are_integers(vocabulary_sizes, minimum=1):
            raise ValueError(
                "`vocabulary_sizes` must be a non-empty sequence of positive "
                f"integers. Received: vocabulary_sizes={vocabulary_sizes}."
            )
        if not _are_integers([embedding_dim], minimum=1):
            raise ValueError(
                "`embedding_dim` must be a positive integer. "
                f"Received: embedding_dim={embedding_dim}."
            )
        self.vocabulary_sizes = tuple(map(int, vocabulary_sizes))
        self.embedding_dim = int(embedding_dim)
        last = len(vocabulary_sizes) - 1
        if field_tables is not None and not (
            _are_integers(field_tables, minimum=0) and max(field_tables) <= last
        ):
            raise ValueError(
                f"`field_tables` must be integers from 0 to {last}, indices of "
                f"`vocabulary_sizes`. Received: field_tables={field_tables}."
            )
        self.field_tables = field_tables and tuple(map(int, field_tables))
        if slots_per_field is not None and not (
            _are_integers(slots_per_field, minimum=1)
            and len(slots_per_field) == self.num_fields
        ):
            raise ValueError(
                "`slots_per_field` must be one positive integer for each of "
                f"{self.num_fields} fields. "
                f"Received: slots_per_field={slots_per_field}."
            )
        self.slots_per_field = slots_per_field and tuple(
            map(int, slots_per_field)
        )
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer
        )
        self.embeddings_regularizer = keras.regularizers.get(
            embeddings_regularizer
        )

    @property
    def num_fields(self) -> int:
        return len(self.field_tables or self.vocabulary_sizes)

    @property
    def num_slots(self) -> int:
        return sum(self.slots_per_field or [1] * self.num_fields)

    def build(self, ids_shape, weights_shape=None):
        for name, shape in (("ids", ids_shape), ("weights", weights_shape)):
            if shape is not None and tuple(shape[1:]) != (self.num_slots,):
                raise ValueError(
                    f"`{name}` must have shape (batch, {self.num_slots}), one "
                    f"column per slot. Received: shape={tuple(shape)}."
                )
        initializer = self.embeddings_initializer
        if isinstance(initializer, keras.Initializer):
            # Called twice, an unseeded instance draws the same values twice.
            initializer = initializer.clone()
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(sum(self.vocabulary_sizes), self.embedding_dim),
            initializer=initializer,
            regularizer=self.embeddings_regularizer,
            autocast=False,
        )
        slots = self.slots_per_field or [1] * self.num_fields
        tables = self.field_tables or range(self.num_fields)
        rows = [0, *accumulate(self.vocabulary_sizes)]
        # (num_slots,)
        self._fields = tuple(i for i, n in enumerate(slots) for _ in range(n))
        self._first_rows = tuple(rows[tables[field]] for field in self._fields)

    def call(self, ids, weights=None):
        if not keras.backend.is_int_dtype(ids.dtype):
            raise TypeError(f"`ids` must be integers. Received: {ids.dtype!r}.")
        # int64 and `+`: TensorFlow's int32 arithmetic and the `BiasAdd` that
        # `ops.add` makes of this have no GPU kernel and would run on the host.
        # (batch, num_slots)
        ids = ops.cast(ids, "int64")
        present = ops.greater_equal(ids, 0)
        rows = ops.maximum(ids, 0) + self._first_rows
        # A selection, not a product: the weight of a masked slot may be NaN.
        factors = ops.where(present, 1.0 if weights is None else weights, 0.0)
        factors = ops.cast(factors, self.variable_dtype)
        pooled = self.num_slots > self.num_fields
        if pooled:
            # (num_slots, batch): pooling wants its axis first
            rows, factors = ops.transpose(rows), ops.transpose(factors)
        table = self.embeddings.value
        if isinstance(table, tf.distribute.DistributedValues):
            table = table._get()  # this replica's copy
        # Neither `ops.take` nor a gather off the distributed variable: they
        # read, and after a sparse update copy, the whole table at each step.
        # (batch, num_slots, embedding_dim), or slots first
        vectors = tf.gather(table, rows)
        vectors = ops.multiply(vectors, ops.expand_dims(factors, -1))
        if pooled:
            # A 0/1 matrix product costs the same, but rounds to TF32 on a GPU.
            fields = ops.convert_to_tensor(self._fields, "int64")
            vectors = ops.segment_sum(vectors, fields, self.num_fields)
            vectors = ops.transpose(vectors, (1, 0, 2))
        # (batch, num_fields, embedding_dim)
        return ops.cast(vectors, self.compute_dtype)

    def compute_output_shape(self, ids_shape, weights_shape=None):
        return (ids_shape[0], self.num_fields, self.embedding_dim)

    def get_config(self):
        return super().get_config() | {
            "vocabulary_sizes": self.vocabulary_sizes,
            "embedding_dim": self.embedding_dim,
            "slots_per_field": self.slots_per_field,
            "field_tables": self.field_tables,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
        }


def _are_integers(values: Any, minimum: int) -> bool:
    """Whether `values` is a non-empty sequence of integers >= `minimum`."""
    if not isinstance(values, Sequence) or len(values) == 0:
        return False
    return all(isinstance(v, Integral) and int(v) >= minimum for v in values)
