"""Two models on the same rows: by how much is one better?"""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.bootstrap import percentiles, resample, sums_by_unit
from deepfm_tf.metrics.influence import (
    are_many,
    auc_influence,
    ratio_influence,
    variance_of_sum,
)
from deepfm_tf.metrics.likelihood import row_losses
from deepfm_tf.metrics.rows import check_confidence, check_groups, check_rows
from deepfm_tf.seeds import check_seed

# Of each class: an interval of fewer rows tells of these rows only.
MIN_ROWS = 10


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How much better the first of two models is, by one metric.

    Attributes:
        metric: `"auc"` or `"log_loss"`.
        first, second: float. What each model reaches.
        improvement: float. Positive if the first is better: higher by AUC,
            lower by log loss.
        low, high: float. Confidence interval of the improvement; NaN where
            there are too few rows for one.
        p_value: float. Two-sided, of the models being equally good; by the
            bootstrap of few rows, no less than 2 / (replicates + 1).
        confidence: float.

    Example:

    >>> print(Comparison("auc", 0.7821, 0.78, 0.0021, 0.0015, 0.0027, 0.0))
    better by 0.0021 ± 0.0006 (95 %)
    """

    metric: str
    first: float
    second: float
    improvement: float
    low: float
    high: float
    p_value: float
    confidence: float = 0.95

    @property
    def margin(self) -> float:
        """Half the width of the interval: what stands after ±."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        if math.isnan(self.improvement):
            return "undefined: the rows are all of one class"
        if math.isnan(self.margin):
            return f"undefined: fewer than {MIN_ROWS} rows of a class"
        if not self.improvement and not self.margin:
            return "equal"
        digits = 4
        if 0 < self.margin < 1e-4:
            digits = -math.floor(math.log10(self.margin))
        margin = f"± {self.margin:.{digits}f} ({100 * self.confidence:g} %)"
        chance = self.low <= 0 <= self.high
        if chance and not round(self.improvement, digits):
            return f"equal within {margin}"
        word = "worse" if self.improvement < 0 else "better"
        text = f"{word} by {abs(self.improvement):.{digits}f} {margin}"
        return f"{text}, which may be chance" if chance else text


def compare_models(
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None = None,
    *,
    groups: Array | None = None,
    confidence: float = 0.95,
    num_replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Whether one model beats another by more than chance, row by row.

    Both models see the same rows, so most of what chance does to one it does
    to the other: the interval of the difference is far narrower than those
    of the two metrics. AUC: DeLong's variance, by sorting. Log loss:
    percentiles of the Poisson bootstrap of the rows' differences; with 2,000
    rows of each class, and groups, the variance of these, too. That the
    models would come out otherwise with other seeds is not part of it. With
    fewer than ten rows of a class there is no interval, hence no "better".

    Args:
        label: (rows,) of 0 and 1.
        first, second: (rows,). The models' probabilities for these rows.
        weight: (rows,), at least 0. Defaults to 1 each.
        groups: (rows,). Groups of rows that are alike (users, sessions),
            each taken as a whole: else the intervals are too narrow.
        confidence: float. Defaults to 0.95.
        num_replicates: int. Of the bootstrap. Defaults to 1000.
        seed: int.

    Returns:
        `{"auc": Comparison, "log_loss": Comparison}`.

    Example:

    >>> label = np.tile([0, 0, 1, 1], 50)
    >>> first = np.tile([0.1, 0.3, 0.2, 0.8], 50)
    >>> second = np.tile([0.1, 0.8, 0.2, 0.3], 50)
    >>> print(compare_models(label, first, second)["auc"])
    better by 0.2500 ± 0.0696 (95 %)

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595); in
        O(n log n) by [Sun and Xu, 2014](https://doi.org/10.1109/LSP.2014.2337313)
    """
    check_confidence(confidence)
    seed = check_seed(seed)
    checked, first, weight = check_rows(label, first, weight)
    _, second, _ = check_rows(label, second)
    if groups is not None:
        groups = check_groups(groups, len(checked))
    comparisons = {
        "auc": _compare_auc(checked, first, second, weight, groups, confidence),
        "log_loss": _compare_log_loss(
            checked,
            first,
            second,
            weight,
            groups,
            confidence,
            num_replicates,
            seed,
        ),
    }
    counted = checked if weight is None else checked[weight > 0]
    rarer = min(np.count_nonzero(counted), np.count_nonzero(counted == 0))
    if rarer >= MIN_ROWS:
        return comparisons
    nan = math.nan
    return {
        name: dataclasses.replace(part, low=nan, high=nan, p_value=nan)
        for name, part in comparisons.items()
    }


def paired_improvement(
    metric: str,
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None = None,
) -> tuple[float, float]:
    """How much better the first model is, and the standard error of that.

    Args:
        metric: `"auc"` or `"log_loss"`.
        label: (rows,) of 0 and 1.
        first, second: (rows,). The models' probabilities for these rows.
        weight: (rows,), at least 0. Defaults to 1 each.

    Example:

    >>> label, first = np.array([0, 0, 1]), np.array([0.2, 0.2, 0.8])
    >>> gain, error = paired_improvement("log_loss", label, first, 1 - first)
    >>> round(gain, 4), error
    (1.3863, 0.0)
    """
    checked, first, weight = check_rows(label, first, weight)
    _, second, _ = check_rows(label, second)
    pair = _paired_auc if metric == "auc" else _paired_log_loss
    return pair(checked, first, second, weight, None)[2:]


def _paired_auc(
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None,
    groups: Array | None,
) -> tuple[float, float, float, float]:
    """The AUC of both, their difference and its standard error."""
    areas, influences = zip(
        *(auc_influence(label, p, weight) for p in (first, second)),
        strict=True,
    )
    parts = influences[0] - influences[1]
    error = math.sqrt(variance_of_sum(parts, label, weight, groups))
    return areas[0], areas[1], areas[0] - areas[1], error


def _paired_log_loss(
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None,
    groups: Array | None,
) -> tuple[float, float, float, float]:
    """The log loss of both, their difference and its standard error."""
    losses = [row_losses(label, p) for p in (first, second)]
    example_weight = np.ones(len(label)) if weight is None else weight
    means = [float(np.average(loss, weights=weight)) for loss in losses]
    gain, parts = ratio_influence(losses[1] - losses[0], example_weight)
    error = math.sqrt(variance_of_sum(parts, None, weight, groups))
    return means[0], means[1], gain, error


def _compare_auc(
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None,
    groups: Array | None,
    confidence: float,
) -> Comparison:
    rows = label, first, second, weight, groups
    return _normal("auc", *_paired_auc(*rows), confidence)


def _compare_log_loss(
    label: Array,
    first: Array,
    second: Array,
    weight: Array | None,
    groups: Array | None,
    confidence: float,
    num_replicates: int,
    seed: int,
) -> Comparison:
    if are_many(label, weight, groups):
        rows = label, first, second, weight, groups
        return _normal("log_loss", *_paired_log_loss(*rows), confidence)
    losses = [row_losses(label, p) for p in (first, second)]
    example_weight = np.ones(len(label)) if weight is None else weight
    means = [float(np.average(loss, weights=weight)) for loss in losses]
    sums = sums_by_unit((example_weight, losses[1] - losses[0]), groups)
    random = np.random.default_rng(seed)
    total, gain = resample(sums, num_replicates, random).T
    gains = gain[total > 0] / total[total > 0]
    low, high = percentiles(gains, confidence)
    # The replicates beyond 0, and the data themselves as one more.
    beyond = min(np.sum(gains <= 0), np.sum(gains >= 0)) + 1
    return Comparison(
        "log_loss",
        means[0],
        means[1],
        means[1] - means[0],
        low,
        high,
        min(1.0, float(2 * beyond / (len(gains) + 1))),
        confidence,
    )


def _normal(
    metric: str,
    first: float,
    second: float,
    improvement: float,
    error: float,
    confidence: float,
) -> Comparison:
    """By the standard error of the improvement."""
    margin = NormalDist().inv_cdf((1 + confidence) / 2) * error
    # No error: the models are alike, or differ in a way without chance.
    z = math.inf if improvement else 0.0
    if error:
        z = abs(improvement) / error
    return Comparison(
        metric,
        first,
        second,
        improvement,
        improvement - margin,
        improvement + margin,
        math.erfc(z / math.sqrt(2)),
        confidence,
    )
