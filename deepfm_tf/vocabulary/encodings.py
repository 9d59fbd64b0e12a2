"""How often a value occurs and is clicked, as numbers for the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepfm_tf.arrays import Array

# Rows of the counts of a field: missing, values that have none, the others.
MISSING_PLACE = 0
ABSENT_PLACE = 1
FIRST_PLACE = 2

# Rows that the base rate counts for in each value's click rate.
PRIOR_STRENGTH = 10.0
# So that counts, of which the ids tell much already, start as a small input.
# Of 2 (about one standard deviation) and 6 the validation data do not decide.
COUNT_UNIT = 6.0


class ValueEncodings:
    """The numbers that a field's `encodings` give the model.

    Of a value that n training rows hold, c of them with a click,

        count:        (log(1 + n) - mean) / 6
        target_mean:  logit((c + a p) / (n + a)) - logit(p)

    where p is the base rate, a = 10 the prior strength, and mean that of the
    logarithm over the training rows. A value that training never saw has n =
    c = 0: its target mean is 0, as is that of the base rate. Neither is divided
    by its standard deviation: the less a field tells, the smaller its numbers
    stay, and the unseen value of a field that has few is no outlier.

    Rows count with their example weight. Where negatives were sampled, n, c
    and p are those of the rows that were kept: that shifts all logits alike,
    p's too, so the target mean stays what it is but for the smoothing.

    Args:
        counts: (2 + values, 2). Rows and clicks: of missing, of values that
            are in no row here, of each value.
        has_missing: bool. Whether missing has numbers too; else it is NaN,
            which contributes nothing.

    Example:

    >>> counts = np.array([[0, 0], [0, 0], [90, 30], [10, 0]])
    >>> site = ValueEncodings(counts)
    >>> (number,) = site.encode([[10, 0]], ["target_mean"])[0]
    >>> f"{number:.2f}"
    '-0.89'

    Reference:
        [Micci-Barreca, 2001](https://doi.org/10.1145/507533.507538),
        equations 3 and 4, with a weight of n / (n + a).
    """

    def __init__(self, counts: Array, has_missing: bool = True) -> None:
        self.counts = np.asarray(counts, np.float64)
        self._has_missing = has_missing
        rows, clicks = self.counts.sum(axis=0)
        # Half a row more of each class, so that the logit is finite.
        self._base_rate = (clicks + 0.5) / (rows + 1)
        share = self.counts[:, 0] / max(rows, 1)
        logs = np.log1p(self.counts[:, 0])
        self._mean = share @ logs

    def encode(
        self, counts: Array, encodings: Sequence[str], scale: float = 1.0
    ) -> Array:
        """Numbers of some values, from their counts.

        Args:
            counts: (rows, 2). Rows and clicks of each.
            encodings: the columns that are wanted.
            scale: float. Of the rows, in `count`: where `counts` are those of
                a share of the training rows.

        Returns:
            (rows, encodings) float32.
        """
        rows, clicks = np.asarray(counts, np.float64).T
        base, prior = self._base_rate, PRIOR_STRENGTH
        rate = (clicks + prior * base) / (rows + prior)
        columns = {
            "count": (np.log1p(scale * rows) - self._mean) / COUNT_UNIT,
            "target_mean": _logit(rate) - _logit(base),
        }
        chosen = [columns[name] for name in encodings]
        return np.stack(chosen, axis=1).astype(np.float32)

    def table(self, encodings: Sequence[str]) -> Array:
        """(2 + values, encodings) float32: for all but training rows."""
        known = self.counts.copy()
        known[ABSENT_PLACE] = 0
        table = self.encode(known, encodings)
        if not self._has_missing:
            table[MISSING_PLACE] = np.nan
        return table

    def decode(self, encoding: str, numbers: Array) -> Array:
        """The number of rows, or the click rate, that a number stands for."""
        numbers = np.asarray(numbers, np.float64)
        if encoding == "count":
            rows = np.expm1(numbers * COUNT_UNIT + self._mean)
            # Without what float32 is off by: 0 is not -4e-9.
            return np.asarray(np.round(rows, 3) + 0.0)
        logits = numbers + _logit(self._base_rate)
        return np.asarray(1 / (1 + np.exp(-logits)))


def _logit(probability: Array | float) -> Array:
    return np.asarray(np.log(probability) - np.log1p(-np.asarray(probability)))
