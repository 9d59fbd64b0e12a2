"""Buckets of numbers, as a graph looks them up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.fields import BucketizedField
from deepfm_tf.vocabulary import OOV_ID, Vocabulary
from deepfm_tf.vocabulary.buckets import LOG_SQUARE_THRESHOLDS, bucketize


def look_up_buckets(
    x: tf.Tensor, fields: Sequence[BucketizedField], vocabulary: Vocabulary
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The buckets of numbers, with one search for all fields.

    Args:
        x: (batch, fields) float32, NaN where missing.
        fields: whose columns they are.
        vocabulary: a fitted Vocabulary.

    Returns:
        Of each number its id, int32; its place among the field's buckets,
        those without an id behind the others, negative where it is not there,
        int64; and whether it is missing.
    """
    # An infinity can only come in serving; it counts as missing.
    present = tf.math.is_finite(x)
    steps = [_bucket_steps(field, vocabulary) for field in fields]
    width = max(1, *(len(edges) for edges, _ in steps))
    edges = np.full((len(fields), width), np.inf, dtype=np.float32)
    places = np.full((len(fields), width + 1), -1, dtype=np.int64)
    for row, (own_edges, own_places) in enumerate(steps):
        edges[row, : len(own_edges)] = own_edges
        places[row, : len(own_places)] = own_places
    ids = places + [[vocabulary.first_id(field)] for field in fields]
    sizes = [[field.vocabulary_size or 0] for field in fields]
    ids[(places < 0) | (ids >= sizes)] = OOV_ID
    # (fields, batch): how many edges are not above the number.
    step = tf.raw_ops.UpperBound(
        sorted_inputs=edges,
        values=tf.transpose(tf.where(present, x, 0.0)),
    )
    step += (np.arange(len(fields), dtype=np.int32) * (width + 1))[:, None]
    step = tf.transpose(step)
    found = tf.gather(ids.reshape(-1).astype(np.int32), step)
    missing = [vocabulary.missing_id(field) for field in fields]
    return (
        tf.where(present, found, np.array(missing, dtype=np.int32)),
        tf.gather(places.reshape(-1), step),
        tf.logical_not(present),
    )


def _bucket_steps(
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
