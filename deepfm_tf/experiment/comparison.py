"""What runs of several models and seeds say when set side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import deepfm_tf

FOCUS = "deepfm"
MARK = "fm"


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
        r["seed"]: deepfm_tf.metrics.best_value(r["curve"], metric)
        for r in runs
        if r["model"] == MARK
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
        metric = deepfm_tf.metrics.METRIC_TITLES
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
