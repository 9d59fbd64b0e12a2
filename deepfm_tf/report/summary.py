"""Runs of several models with several seeds, one row a model."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

METRICS = (
    "auc",
    "log_loss",
    "normalized_entropy",
    "calibration_ratio",
    "expected_calibration_error",
)


def summarize_runs(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds, model by model.

    Args:
        runs: one mapping for each model and seed: `model`, `parameters`,
            `seconds`, `epochs` and `test` (metrics, as `evaluate` gives
            them); and perhaps `best_epoch`, whose weights were kept,
            `steps_to_reach`, an int, or None if the run did not get there,
            and `calibration`, with `method` and `test`.

    Returns:
        A dict for each model, in order of appearance, after it one for the
        model with its calibration (`fm, platt`): `model`, `parameters`,
        `seeds` (their number), and `{"mean": float, "std": float}` for each
        metric (`grouped_auc` only if the runs have it), `epochs`,
        `best_epoch`, `seconds` and `steps_to_reach`, which holds `reached`
        too, the number of runs that got there. The standard deviation is
        that of a sample (n - 1); None of a single run.

    Example:

    >>> run = {"model": "fm", "parameters": 7, "seconds": 1.0, "epochs": 2}
    >>> runs = [{**run, "test": {"auc": auc}} for auc in (0.75, 0.77)]
    >>> row = summarize_runs(runs)[0]
    >>> print(f"{row['auc']['mean']:.3f} ± {row['auc']['std']:.3f}")
    0.760 ± 0.014
    """
    rows = []
    for own in _by_model(runs):
        row: dict[str, Any] = {
            "model": own[0]["model"],
            "parameters": own[0]["parameters"],
            "seeds": len(own),
        }
        for name in METRICS:
            row[name] = mean_and_std(run["test"].get(name) for run in own)
        if "grouped_auc" in own[0]["test"]:
            row["grouped_auc"] = mean_and_std(
                run["test"].get("grouped_auc") for run in own
            )
        row["epochs"] = mean_and_std(run["epochs"] for run in own)
        if "best_epoch" in own[0]:
            row["best_epoch"] = mean_and_std(
                run.get("best_epoch") for run in own
            )
        row["seconds"] = mean_and_std(run["seconds"] for run in own)
        if "steps_to_reach" in own[0]:
            steps = [run["steps_to_reach"] for run in own]
            reached = sum(step is not None for step in steps)
            row["steps_to_reach"] = {**mean_and_std(steps), "reached": reached}
        rows.append(row)
    return rows


def calibrated(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as it is with its calibration.

    Args:
        run: as for `summarize_runs`, with `calibration`.

    Returns:
        The run with the metrics after the calibration, as `fm, platt`.

    Example:

    >>> calibration = {"method": "platt", "test": {"log_loss": 0.4}}
    >>> run = {"model": "fm", "test": {"log_loss": 0.5}}
    >>> calibrated({**run, "calibration": calibration})
    {'model': 'fm, platt', 'test': {'log_loss': 0.4}}
    """
    own = {key: value for key, value in run.items() if key != "calibration"}
    own["model"] = f"{run['model']}, {run['calibration']['method']}"
    own["test"] = run["calibration"]["test"]
    return own


def _by_model(
    runs: Sequence[Mapping[str, Any]],
) -> list[list[Mapping[str, Any]]]:
    """The runs of each model, then those of them with a calibration."""
    groups = []
    for model in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == model]
        groups.append(own)
        if all("calibration" in run for run in own):
            groups.append([calibrated(run) for run in own])
    return groups


def mean_and_std(values: Iterable[float | None]) -> dict[str, float | None]:
    """Of those that are there and not NaN."""
    # NaN is the one number that differs from itself.
    numbers = [float(v) for v in values if v is not None and v == v]
    return {
        "mean": statistics.fmean(numbers) if numbers else None,
        "std": statistics.stdev(numbers) if len(numbers) > 1 else None,
    }
