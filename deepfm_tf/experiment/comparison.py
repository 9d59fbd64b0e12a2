"""What runs of several models and seeds say when set side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import deepfm_tf
from deepfm_tf.arrays import Array

FOCUS = "deepfm"
MARK = "fm"
# 97.5 % quantiles of Student's t for 2, 3, ... seeds; for more, the last.
_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20)
_NORMAL = 1.96


def student(num_seeds: int) -> float:
    """The 97.5 % quantile of Student's t for a mean over so many seeds."""
    return _STUDENT[min(num_seeds - 2, len(_STUDENT) - 1)]


def best_value(run: Mapping[str, Any], metric: str) -> float:
    """The best validation metric that a run was measured at."""
    values = [
        point[metric] for point in run["curve"] if point[metric] is not None
    ]
    if not values:
        return math.nan
    best: float = max(values) if metric == "auc" else min(values)
    return best


def ranking(runs: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """The models, best first, by the mean over seeds of their best value."""
    sign = -1 if metric == "auc" else 1
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run["model"], []).append(best_value(run, metric))
    return sorted(values, key=lambda m: sign * statistics.fmean(values[m]))


def add_steps_to_reach(
    runs: Sequence[dict[str, Any]], metric: str
) -> dict[str, Any] | None:
    """Add `steps_to_reach`: when a run is as good as FM's best, same seed.

    None where a run never is. Both are seen at the points of the curves only.

    Args:
        runs: with `model`, `seed` and `curve`.
        metric: `"log_loss"` or `"auc"`, of the validation data.

    Returns:
        The `reach` of a report; None, and nothing is added, without FM.
    """
    marks = {
        r["seed"]: best_value(r, metric) for r in runs if r["model"] == MARK
    }
    if not marks:
        return None
    sign = -1 if metric == "auc" else 1
    for run in runs:
        mark = marks[run["seed"]]
        run["steps_to_reach"] = next(
            (
                point["step"]
                for point in run["curve"]
                if point[metric] is not None
                and sign * point[metric] <= sign * mark
            ),
            None,
        )
    return {
        "metric": metric,
        "name": f"{MARK}'s best",
        "value": statistics.fmean(marks.values()),
    }


def compare_with(
    baseline: str,
    models: Sequence[str],
    seeds: Sequence[int],
    label: Array,
    probabilities: Mapping[tuple[str, int], Array],
    weight: Array | None = None,
) -> list[dict[str, Any]]:
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

    Returns:
        A dict for each model and metric: `model`, `baseline`, `metric`, the
        parts of a `Comparison`, `seeds`, `seeds_better`, `std` over the seeds
        and `text`.
    """
    entries = []
    for model in models:
        each = [
            deepfm_tf.compare_models(
                label,
                probabilities[model, seed],
                probabilities[baseline, seed],
                weight,
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
    comparisons: Sequence[Mapping[str, Any]], model: str, metric: str
) -> bool:
    """Whether a model is better than the baseline by more than chance.

    Args:
        comparisons: of `compare_with`.
        model: str.
        metric: `"log_loss"` or `"auc"`.
    """
    return any(
        entry["low"] > 0
        for entry in comparisons
        if (entry["model"], entry["metric"]) == (model, metric)
    )


def _joined(
    metric: str, parts: Sequence[deepfm_tf.Comparison]
) -> tuple[deepfm_tf.Comparison, float | None]:
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
        quantile = student(len(parts))
        of_seeds = std / math.sqrt(len(parts))
        margin = math.hypot(margin, quantile * of_seeds)
    z = math.inf if mean else 0.0
    if margin:
        z = abs(mean) / margin * _NORMAL
    return (
        deepfm_tf.Comparison(
            metric,
            statistics.fmean(part.first for part in parts),
            statistics.fmean(part.second for part in parts),
            mean,
            mean - margin,
            mean + margin,
            math.erfc(z / math.sqrt(2)),
        ),
        std,
    )


def lead(
    report: Mapping[str, Any], focus: str, baseline: str | None
) -> str | None:
    """What came out, in one or two sentences."""
    if baseline is None:
        return None
    texts = {
        entry["metric"]: entry["text"]
        for entry in report["comparisons"]
        if entry["model"] == focus
    }
    text = (
        f"{focus} against {baseline}, the best other model on the validation "
        f"data: AUC {texts['auc']}; log loss {texts['log_loss']}."
    )
    summary = {row["model"]: row for row in report["summary"]}
    if "reach" in report and focus != MARK:
        steps = {m: summary[m]["steps_to_reach"] for m in (focus, MARK)}
        metric = {"auc": "AUC", "log_loss": "log loss"}
        what = f"{MARK}'s best validation {metric[report['reach']['metric']]}"
        own = steps[MARK]["mean"]
        if steps[focus]["reached"]:
            text += (
                f" {what} takes {focus} {steps[focus]['mean']:,.0f} training "
                f"steps, {MARK} {own:,.0f}"
            )
            if steps[focus]["reached"] < summary[focus]["seeds"]:
                text += (
                    f" (reached in {steps[focus]['reached']} of "
                    f"{summary[focus]['seeds']} runs)"
                )
            text += "."
        else:
            text += f" {focus} does not reach {what}."
    return text
