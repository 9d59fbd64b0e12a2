"""Count, mean, spread and range of numbers, partition by partition."""

from __future__ import annotations

import numpy as np

from deepfm_tf.arrays import Array


class Moments:
    """Count, mean, spread and range; partitions merge as in Chan et al."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = np.inf, -np.inf

    def add(self, x: Array) -> None:
        if not len(x):
            return
        other = Moments()
        x = x.astype(np.float64)
        other.count, other.mean = len(x), float(x.mean())
        other.squares = float(((x - other.mean) ** 2).sum())
        other.minimum, other.maximum = float(x.min()), float(x.max())
        self.merge(other)

    def merge(self, other: Moments) -> None:
        if not other.count:
            return
        total = self.count + other.count
        delta = other.mean - self.mean
        self.squares += other.squares
        self.squares += delta**2 * self.count * other.count / total
        self.mean += delta * other.count / total
        self.count = total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def summary(self) -> dict[str, float]:
        if not self.count:
            return {"mean": 0.0, "std": 0.0}
        return {
            "mean": self.mean,
            "std": float(np.sqrt(self.squares / self.count)),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
