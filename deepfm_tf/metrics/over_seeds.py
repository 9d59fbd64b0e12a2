"""What runs of several seeds say: their spread, and what is beyond it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.comparison import Comparison, compare_models
from deepfm_tf.metrics.results import SeedComparison, Spread

# 97.5 % quantiles of Student's t for 2, 3, ... seeds; for more, the last.
_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20)
_NORMAL = 1.96


def mean_and_std(values: Iterable[float | None]) -> Spread:
    """Of those that are there and not NaN."""
    # NaN is the one number that differs from itself.
    numbers = [float(v) for v in values if v is not None and v == v]
    return {
        "mean": statistics.fmean(numbers) if numbers else None,
        "std": statistics.stdev(numbers) if len(numbers) > 1 else None,
    }


def margin_of_one_more(values: Sequence[float]) -> float:
    """How far the seed alone takes a further run from the mean of these.

    `t s sqrt(1 + 1/n)`, with the standard deviation `s` over the n seeds and
    the 97.5 % quantile of Student's t for n - 1 degrees of freedom: it is
    within that 19 times of 20.
    """
    spread = _student(len(values)) * statistics.stdev(values)
    return spread * math.sqrt(1 + 1 / len(values))


def best_value(curve: Iterable[Mapping[str, Any]], metric: str) -> float:
    """The best of the points of a learning curve; NaN if none has the metric.

    >>> best_value([{"auc": 0.5}, {"auc": None}, {"auc": 0.7}], "auc")
    0.7
    """
    values = [point[metric] for point in curve if point[metric] is not None]
    if not values:
        return math.nan
    return float(max(values) if metric == "auc" else min(values))


def rank_models(runs: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """The models, best first, by the mean over seeds of their best value.

    Args:
        runs: with `model` and `curve`.
        metric: `"log_loss"` or `"auc"`, of the validation data.
    """
    sign = -1 if metric == "auc" else 1
    values: dict[str, list[float]] = {}
    for run in runs:
        best = best_value(run["curve"], metric)
        values.setdefault(run["model"], []).append(best)
    return sorted(values, key=lambda m: sign * statistics.fmean(values[m]))


def compare_over_seeds(
    baseline: str,
    models: Sequence[str],
    seeds: Sequence[int],
    label: Array,
    probabilities: Mapping[tuple[str, int], Array],
    weight: Array | None = None,
    *,
    groups: Array | None = None,
    num_replicates: int = 1000,
) -> list[SeedComparison]:
    """How much better each model is than one of them, on the same rows.

    Seed by seed `compare_models` gives a difference, and the variance that
    the choice of test rows gives it. Of the mean difference, that variance is
    at most the seeds' mean one, whatever the differences share; to it comes
    the variance over seeds, by Student's t.

    Args:
        baseline: str. The model to compare with.
        models: the others.
        seeds: those of every model.
        label: (rows,).
        probabilities: model and seed -> (rows,).
        weight: (rows,), example weights. Optional.
        groups, num_replicates: as of `compare_models`.

    Returns:
        Of each model, one for the AUC and one for the log loss.
    """
    entries: list[SeedComparison] = []
    for model in models:
        each = [
            compare_models(
                label,
                probabilities[model, seed],
                probabilities[baseline, seed],
                weight,
                groups=groups,
                num_replicates=num_replicates,
            )
            for seed in seeds
        ]
        for metric in ("auc", "log_loss"):
            parts = [comparison[metric] for comparison in each]
            joined, std = _joined(metric, parts)
            entries.append(
                {
                    "model": model,
                    "baseline": baseline,
                    "metric": metric,
                    "first": joined.first,
                    "second": joined.second,
                    "improvement": joined.improvement,
                    "low": joined.low,
                    "high": joined.high,
                    "p_value": joined.p_value,
                    "std": std,
                    "seeds": len(parts),
                    "seeds_better": sum(p.improvement > 0 for p in parts),
                    "text": str(joined),
                }
            )
    return entries


def is_better(
    comparisons: Sequence[SeedComparison], model: str, metric: str
) -> bool:
    """Whether a model is better than the baseline by more than chance.

    Args:
        comparisons: of `compare_over_seeds`.
        model: str.
        metric: `"log_loss"` or `"auc"`.
    """
    return any(
        entry["low"] > 0
        for entry in comparisons
        if (entry["model"], entry["metric"]) == (model, metric)
    )


def _joined(
    metric: str, parts: Sequence[Comparison]
) -> tuple[Comparison, float | None]:
    """One comparison of all seeds, and the standard deviation over them."""
    improvements = [part.improvement for part in parts]
    mean = statistics.fmean(improvements)
    squares = [(part.margin / _NORMAL) ** 2 for part in parts]
    error = math.sqrt(statistics.fmean(squares))
    margin = _NORMAL * error
    std = None
    if len(parts) > 1:
        # Not that of `statistics`, which fails on an undefined AUC.
        std = float(np.std(improvements, ddof=1))
        of_seeds = std / math.sqrt(len(parts))
        margin = math.hypot(margin, _student(len(parts)) * of_seeds)
    z = math.inf if mean else 0.0
    if margin:
        z = abs(mean) / margin * _NORMAL
    joined = Comparison(
        metric,
        statistics.fmean(part.first for part in parts),
        statistics.fmean(part.second for part in parts),
        mean,
        mean - margin,
        mean + margin,
        math.erfc(z / math.sqrt(2)),
    )
    return joined, std


def _student(num_seeds: int) -> float:
    """The 97.5 % quantile of Student's t for a mean over so many seeds."""
    return _STUDENT[min(num_seeds - 2, len(_STUDENT) - 1)]
