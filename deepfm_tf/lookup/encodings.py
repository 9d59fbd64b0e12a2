"""The numbers of values and buckets, inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deepfm_tf.fields import Field
from deepfm_tf.vocabulary import Vocabulary
from deepfm_tf.vocabulary.encodings import (
    ABSENT_PLACE,
    FIRST_PLACE,
    MISSING_PLACE,
)

# Fields, and the numbers of each of them, side by side.
Encoded = tuple[Sequence[Field], tf.Tensor]


class EncodingLookup(tf.Module):
    """What `Vocabulary.encode` gives of `encodings`, as TensorFlow ops.

    The numbers of all values of all fields lie in one table.

    Args:
        vocabulary: a fitted Vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(name="encoding_lookup")
        tables = vocabulary.encoded
        self._width = max((t.shape[1] for t in tables.values()), default=0)
        starts = np.cumsum([0, *map(len, tables.values())])
        self._starts = dict(zip(tables, starts, strict=False))
        if tables:
            # Narrower ones are filled up.
            padded = [
                np.pad(table, ((0, 0), (0, self._width - table.shape[1])))
                for table in tables.values()
            ]
            self._table = tf.Variable(np.concatenate(padded), trainable=False)

    def find(
        self, fields: Sequence[Field], found: tf.Tensor, is_missing: tf.Tensor
    ) -> Encoded:
        """The numbers of values.

        Args:
            fields: with `encodings`.
            found: (batch, fields) int64. The place among the field's values;
                negative where it is not there.
            is_missing: (batch, fields) bool.
        """
        places = tf.maximum(found + FIRST_PLACE, ABSENT_PLACE)
        places = tf.where(is_missing, np.int64(MISSING_PLACE), places)
        starts = np.array([self._starts[field.name] for field in fields])
        # (batch, fields, width)
        numbers = tf.gather(self._table, places + starts)
        return fields, tf.reshape(numbers, (-1, len(fields) * self._width))

    def join(
        self, fields: Sequence[Field], parts: Sequence[Encoded]
    ) -> list[tf.Tensor]:
        """What `find` gave, as the columns of `values`; no tensor for none.

        Args:
            fields: all, in the order of the columns.
            parts: all that have `encodings` among them.
        """
        if not parts:
            return []
        numbers = tf.concat([part for _, part in parts], axis=1)
        names = [field.name for own, _ in parts for field in own]
        columns = [
            names.index(field.name) * self._width + number
            for field in fields
            for number in range(len(field.encodings))
        ]
        if columns == list(range(len(names) * self._width)):
            return [numbers]
        return [tf.gather(numbers, columns, axis=1)]
