"""Buckets of numbers, as a graph looks them up."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.buckets import LOG_SQUARE_THRESHOLDS, bucketize
from deepfm_tf.fields import BucketizedField
from deepfm_tf.vocabulary import Vocabulary


def bucket_steps(
    field: BucketizedField, vocabulary: Vocabulary
) -> tuple[Array, Array]:
    """Numbers at which the bucket changes, and the buckets between them.

    A bucket is its place among the values of the field and, behind them, the
    rare ones that have no id; -1 if it is none of them.
    """
    if field.has_boundaries:
        edges = np.asarray(
            vocabulary.statistics[field.name]["boundaries"],
            dtype=np.float32,
        )
        return edges, np.arange(len(edges) + 1)
    values = vocabulary.values[field.name]
    rare = vocabulary.rare.get(field.name, ())
    known: Array = np.append(values, rare).astype(np.int64)
    places = {bucket: place for place, bucket in enumerate(known.tolist())}
    # Every edge of a known bucket; none is crossed between two of them.
    whole = known[known <= 2].astype(np.float32)
    next_whole = np.maximum(whole + 1, np.nextafter(whole, np.float32(np.inf)))
    above = np.nextafter(np.float32(2), np.float32(3))
    large = known[known >= 0]
    raised = np.concatenate([large - 1, large])
    raised = raised[(raised >= 0) & (raised < len(LOG_SQUARE_THRESHOLDS))]
    edges = np.unique(
        np.concatenate(
            [whole, next_whole, [2, above], LOG_SQUARE_THRESHOLDS[raised]]
        ).astype(np.float32)
    )
    # One number of each interval; the first reaches down to -infinity.
    inside = np.concatenate([[-np.inf], edges]).astype(np.float32)
    buckets = bucketize(field, inside, ())
    return edges, np.array([places.get(b, -1) for b in buckets.tolist()])
