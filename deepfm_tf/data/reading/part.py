"""A random part of a source, and the negatives of a part that are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, with_known_arguments
from deepfm_tf.raw_values import Bad
from deepfm_tf.seeds import check_seed


@with_known_arguments
@dataclasses.dataclass(frozen=True)
class Part:
    """A random share of the rows of a source, the same at every reading.

    Each row draws a number in [0, 1) from `seed` and its place; the row
    belongs to the part if `start <= number < stop`. Parts that do not overlap
    have no row in common.

    Args:
        start: float. In [0, 1).
        stop: float. In (start, 1].
        seed: int.
        negative_sampling: float in (0, 1]. The share to keep, drawn at random,
            of the part's rows whose label is 0. For training data alone, and
            with the same `negative_sampling` of the model, which then corrects
            its probabilities for it. Vocabularies are fitted on what is kept.

    Example:

    >>> train, test = Part(0.0, 0.8, seed=1), Part(0.8, 1.0, seed=1)
    """

    start: float
    stop: float
    seed: int = 0
    negative_sampling: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start < self.stop <= 1.0:
            raise UserError(
                "A part must have 0 <= start < stop <= 1. Received: "
                f"start={self.start}, stop={self.stop}."
            )
        check_negatives(self.negative_sampling)
        object.__setattr__(self, "seed", check_seed(self.seed))

    # What must be read to know which rows belong to the part.
    columns: ClassVar[tuple[str, ...]] = ()

    @property
    def is_first(self) -> bool:
        """Whether broken lines, which draw no number, are this part's."""
        return self.start == 0

    def rows(self, table: pa.Table, block: int) -> Array:
        """Which rows of a block belong to the part (ascending numbers)."""
        random = np.random.default_rng([self.seed, block])
        draws = random.random(table.num_rows)
        return np.flatnonzero((draws >= self.start) & (draws < self.stop))

    def choose(
        self, table: pa.Table, block: int, missing_values: Sequence[str]
    ) -> tuple[Array, Bad]:
        """The same, and the rows of which that cannot be said: none."""
        return self.rows(table, block), {}


def check_negatives(share: float) -> None:
    """Raise UserError unless it can be the share of the negatives to keep."""
    if not 0.0 < share <= 1.0:
        raise UserError(
            "`negative_sampling` must be the share of the negatives to "
            "keep, above 0 and at most 1. Received: "
            f"negative_sampling={share}."
        )


def sample_negatives(
    label: Array, share: float, seed: int, block: int
) -> Array:
    """Which rows to keep: the positives, and each negative by chance.

    Args:
        label: (rows,) of the rows of a part in a block.
        share: float. Of the negatives, to be kept.
        seed: int. Of the part.
        block: int. Its number: each draws anew.
    """
    random = np.random.default_rng([seed, block, 1])
    draws = random.random(len(label))
    return np.flatnonzero((label != 0) | (draws < share))
