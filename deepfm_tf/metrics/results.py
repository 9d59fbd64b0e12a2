"""What the functions of this room return, key by key."""

from __future__ import annotations

from typing import TypedDict

# Titles of columns and axes.
METRIC_TITLES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "grouped_auc": "GAUC",
    "calibration_ratio": "calibration",
    "expected_calibration_error": "calibration error",
    "normalized_entropy": "normalized entropy",
}


class _Measured(TypedDict):
    auc: float  # NaN of one class
    log_loss: float  # in nats
    normalized_entropy: float  # NaN of one class
    calibration_ratio: float  # mean probability divided by mean label
    expected_calibration_error: float
    mean_label: float
    rows: int


class Metrics(_Measured, total=False):
    """All metrics of one model on one set of rows.

    `auc`, `log_loss`, `normalized_entropy`, `calibration_ratio`,
    `expected_calibration_error`, `mean_label` and `rows` are always there;
    the others where they were asked for.
    """

    grouped_auc: float  # GAUC
    grouped_share: float  # of the rows, in groups that have both classes
    grouped_left_out: int  # rows without a group, if there are any
    intervals: dict[str, tuple[float, float]]  # metric -> low, high


class SliceMetrics(Metrics):
    """The metrics of the rows that have one value of a field."""

    field: str
    value: str
    share: float  # of all weight


class StreamMetrics(_Measured):
    """Metrics of a data set of any length."""

    auc_error: float  # the most that `auc` can be off
    intervals: dict[str, tuple[float, float]]


class Spread(TypedDict):
    """One number of several runs."""

    mean: float | None  # None if no run has the number
    std: float | None  # of a sample (n - 1); None of a single run


class SeedComparison(TypedDict):
    """How much better a model is than the baseline, over all seeds."""

    model: str
    baseline: str
    metric: str  # "auc" or "log_loss"
    first: float  # what the model reaches, a mean over the seeds
    second: float  # what the baseline reaches
    improvement: float  # above 0 if the model is better
    low: float  # of the 95 % interval of the improvement
    high: float
    p_value: float
    std: float | None  # over the seeds; None of one
    seeds: int
    seeds_better: int
    text: str  # all of it, as `Comparison` says it
