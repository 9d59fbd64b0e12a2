"""The shared table, with fields that attend to a candidate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import UserError
from deepfm_tf.layers.shared_embedding import SharedEmbedding
from deepfm_tf.layers.target_attention import TargetAttention


@keras.saving.register_keras_serializable("deepfm_tf")
class AttentiveEmbedding(SharedEmbedding):
    """A `SharedEmbedding` some of whose fields are pooled by attention.

    Such a field, the history, yields `v_U(A) = sum_j a(e_j, v_A) e_j` of its
    ids' vectors, where `v_A` is the vector that another field, the candidate,
    yields (see `TargetAttention`). Its first-order weights do not attend: they
    are added up times x, as those of all fields are. All else is as in
    `SharedEmbedding`; without such fields use that one, which reads less.

    Args:
        vocabulary_sizes, embedding_dim, **kwargs: as of `SharedEmbedding`.
        attention: Sequence of pairs of ints, ascending: the position of a
            field with ids, and of its candidate, which is in no pair's first
            place.

    Call arguments, input shape, output shape:
        As of `SharedEmbedding`.

    Raises:
        ValueError: If `attention` does not hold such pairs; and as
            `SharedEmbedding` does.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import AttentiveEmbedding
    >>> embedding = AttentiveEmbedding(
    ...     (9,),
    ...     embedding_dim=4,
    ...     columns_per_field=(1, 3),
    ...     field_tables=(0, 0),
    ...     attention=[(1, 0)],
    ... )
    >>> item_and_history = np.array([[4, 1, 4, -1], [5, 2, 3, 6]])
    >>> embedding(item_and_history).shape
    TensorShape([2, 2, 4])

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978), equation 3.
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        embedding_dim: int,
        attention: Sequence[tuple[int, int]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_sizes, embedding_dim, **kwargs)
        pairs = tuple(tuple(map(int, pair)) for pair in attention)
        fields = [field for field, _ in pairs]
        everything = set(range(self.num_fields))
        if (
            not {place for pair in pairs for place in pair} <= everything
            or fields != sorted(set(fields))
            or any(candidate in fields for _, candidate in pairs)
        ):
            raise UserError(
                "`attention` must be pairs of a field and its candidate, from "
                f"0 to {self.num_fields - 1}, ascending, no candidate itself "
                f"such a field. Received: attention={attention}."
            )
        self.attention = pairs
        self.attention_units = [
            TargetAttention(dtype=self.dtype_policy, name=f"attention_{number}")
            for number in range(len(pairs))
        ]

    def build(
        self,
        ids_shape: Any = None,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> None:
        super().build(ids_shape, weights_shape, values_shape)
        for (field, _), unit in zip(
            self.attention, self.attention_units, strict=True
        ):
            if field >= self._num_pooled:
                raise UserError(
                    "`attention` must be of fields with ids. Received: "
                    f"attention={self.attention}, values of shape "
                    f"{values_shape}."
                )
            length = self._columns_per_field()[field]
            dim = self.embedding_dim
            unit.build((None, length, dim), (None, dim))

    def id_columns(self, field: int) -> slice:
        """The columns of `ids` that belong to a field."""
        counts = self._columns_per_field()
        start = sum(counts[:field])
        return slice(start, start + counts[field])

    def attend(self, embeddings: Any, id_vectors: Any, present: Any) -> Any:
        """The embeddings, with the attending fields' vectors in their place.

        Args:
            embeddings: (batch, num_fields, embedding_dim).
            id_vectors: (batch, num_ids, columns), the rows of all id columns.
            present: (batch, num_ids), whether there is an id.
        """
        parts, start = [], 0
        for (field, candidate), unit in zip(
            self.attention, self.attention_units, strict=True
        ):
            columns = self.id_columns(field)
            # (batch, embedding_dim)
            attended = unit(
                id_vectors[:, columns, : self.embedding_dim],
                embeddings[:, candidate],
                present[:, columns],
            )
            attended = ops.cast(attended, embeddings.dtype)
            parts += [embeddings[:, start:field], attended[:, None]]
            start = field + 1
        return ops.concatenate([*parts, embeddings[:, start:]], axis=1)

    def call(
        self,
        ids: Any = None,
        weights: Any = None,
        values: Any = None,
        training: bool | None = None,
    ) -> Any:
        outputs, vectors = self.pool(ids, weights, values, training)
        embeddings, *rest = outputs
        num_ids = ids.shape[1]
        # Behind them, in training, stand the rows of the numeric fields.
        vectors = ops.reshape(vectors, (-1, self.num_columns))[: ops.size(ids)]
        vectors = ops.reshape(vectors, (-1, num_ids, self.num_columns))
        present = ops.greater_equal(self._rows.cast(ids), 0)
        # (batch, num_fields, embedding_dim)
        embeddings = self.attend(embeddings, vectors, present)
        if self.factored:
            # (batch, num_pooled * embedding_dim + num_rows)
            width = self._num_pooled * self.embedding_dim
            flat = embeddings[:, : self._num_pooled]
            rest[-2] = ops.concatenate(
                [ops.reshape(flat, (-1, width)), rest[-2][:, width:]], axis=1
            )
        return self.cast_outputs((embeddings, *rest))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "attention": self.attention}
