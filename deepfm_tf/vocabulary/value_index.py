"""Where a text stands among the values of a vocabulary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.text_arrays import as_texts, hash_texts


class ValueIndex:
    """Finds texts among the values of a field; may be asked by many threads.

    It holds the hash of each value, sorted, and whose it is: a dozen bytes a
    value beside those of its text.

    Args:
        values: text array, each text once.
        more: those that come behind them, if there are any.
    """

    def __init__(
        self,
        values: pa.LargeStringArray,
        more: pa.LargeStringArray | None = None,
    ) -> None:
        if more is not None:
            values = pa.concat_arrays([values, more])
        self._values = values
        self._hashes = hash_texts(values)
        order = np.argsort(self._hashes)
        few = len(values) < 2**32
        self._places = order.astype(np.uint32) if few else order
        del order
        self._hashes.sort()  # in place, for as many bytes less
        # Values with the hash of another one: next to none, unless somebody
        # makes them.
        is_same = self._hashes[1:] == self._hashes[:-1]
        shared = np.unique(self._hashes[1:][is_same])
        places = self._places[np.isin(self._hashes, shared)]
        self._collided = {values[int(p)].as_py(): int(p) for p in places}

    def __len__(self) -> int:
        return len(self._values)

    def find(self, texts: pa.Array) -> Array:
        """The place of each text; -1 where it is not there."""
        texts = as_texts(texts)
        places = np.full(len(texts), -1, np.int64)
        if not len(self._hashes):
            return places
        hashes = hash_texts(texts)
        # In their order, the searches touch the same memory.
        order = np.argsort(hashes)
        hashes = hashes[order]
        found = np.searchsorted(self._hashes, hashes)
        found[found == len(self._hashes)] = 0
        is_found = self._hashes[found] == hashes
        rows, known = order[is_found], self._places[found[is_found]]
        same = pc.equal(
            self._values.take(pa.array(known)), texts.take(pa.array(rows))
        )
        is_same = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
        places[rows[is_same]] = known[is_same]
        if self._collided:
            for row in rows[~is_same].tolist():
                text = texts[row].as_py()
                places[row] = self._collided.get(text, -1)
        return places


def hash_values(values: pa.Array, num_buckets: int) -> Array:
    """Bucket of each text, by the very op that the exported graph uses."""
    # FarmHash exists in no package that vocabulary may import; an own
    # implementation could drift from the serving graph's.
    import tensorflow as tf

    with tf.device("CPU:0"):
        objects = values.to_numpy(zero_copy_only=False)
        texts = tf.constant(objects, dtype=tf.string, shape=(len(values),))
        buckets = tf.strings.to_hash_bucket_fast(texts, num_buckets)
        return np.asarray(buckets)
