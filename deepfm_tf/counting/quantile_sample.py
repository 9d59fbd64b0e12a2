"""A sample of numbers for quantiles, merged over partitions."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array

# Quantiles are exact up to this many rows; beyond, they come from a uniform
# sample of this size (rank error about 1/sqrt(size), 0.2 %).
QUANTILE_SAMPLE = 262_144


class QuantileSample:
    """A uniform sample whose members do not depend on the merging order.

    Each number draws a priority from its partition's own generator; the
    smallest priorities stay.
    """

    def __init__(self) -> None:
        self._priorities: Array = np.empty(0)
        self._numbers: Array = np.empty(0, dtype=np.float32)

    def add(self, x: Array, partition: int) -> None:
        """Add the numbers (float32) of one partition."""
        priorities = np.random.default_rng(partition).random(len(x))
        self._keep(priorities, x)

    def merge(self, other: QuantileSample) -> None:
        """Add those of later partitions."""
        self._keep(other._priorities, other._numbers)

    def boundaries(self, num_buckets: int) -> Array:
        """Ascending boundaries of buckets with about as many numbers each."""
        if not len(self._numbers):
            return np.empty(0, dtype=np.float32)
        values, counts = np.unique(self._numbers, return_counts=True)
        # A value of more rows than a bucket is to hold has one of its own
        # (and may cut one in two): quantiles would all fall on it.
        edges: list[Array] = []
        while num_buckets > 2 and len(values) > 1:
            heavy = int(np.argmax(counts))
            if counts[heavy] * num_buckets <= counts.sum():
                break
            inside = 0 < heavy < len(values) - 1
            num_buckets -= 1 + inside
            edges.append(values[heavy + (heavy == 0) :][: 1 + inside])
            values, counts = np.delete(values, heavy), np.delete(counts, heavy)
        inner = np.arange(1, num_buckets) / num_buckets
        rest = np.quantile(
            np.repeat(values, counts), inner, method="inverted_cdf"
        )
        unique: Array = np.unique(np.concatenate([*edges, rest]))
        return unique

    def _keep(self, priorities: Array, numbers: Array) -> None:
        priorities = np.concatenate([self._priorities, priorities])
        numbers = np.concatenate([self._numbers, numbers])
        if len(numbers) > QUANTILE_SAMPLE:
            order = np.argpartition(priorities, QUANTILE_SAMPLE)
            priorities = priorities[order[:QUANTILE_SAMPLE]]
            numbers = numbers[order[:QUANTILE_SAMPLE]]
        self._priorities, self._numbers = priorities, numbers
