"""Where a text stands among the values of a vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepfm_tf.arrays import Array


class ValueIndex:
    """Finds texts among the values of a field; may be asked by many threads.

    Args:
        values: array of different texts.
    """

    def __init__(self, values: Array) -> None:
        self._index = pd.Index(values, dtype=object)
        # Builds the hash table now: building it is not thread-safe.
        self.find(np.empty(0, object))

    def __len__(self) -> int:
        return len(self._index)

    def find(self, texts: Array) -> Array:
        """The place of each text; -1 where it is not there."""
        found = self._index.get_indexer(pd.Index(texts, dtype=object))
        return np.asarray(found)


def hash_values(values: Array, num_buckets: int) -> Array:
    """Bucket of each text, by the very op that the exported graph uses."""
    # FarmHash exists in no package that vocabulary may import; an own
    # implementation could drift from the serving graph's.
    import tensorflow as tf

    with tf.device("CPU:0"):
        texts = tf.constant(values, dtype=tf.string, shape=(len(values),))
        buckets = tf.strings.to_hash_bucket_fast(texts, num_buckets)
        return np.asarray(buckets)
