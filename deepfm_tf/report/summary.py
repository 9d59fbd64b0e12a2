"""Runs of several models with several seeds, one row a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from deepfm_tf.metrics import Metrics, mean_and_std
from deepfm_tf.report.content import Run, SummaryRow

METRICS = (
    "auc",
    "log_loss",
    "normalized_entropy",
    "calibration_ratio",
    "expected_calibration_error",
)


def summarize_runs(runs: Sequence[Run]) -> list[SummaryRow]:
    """Mean and standard deviation over the seeds, model by model.

    Args:
        runs: one for each model and seed, with `test`; and perhaps with
            `best_epoch`, `steps_to_reach` and `calibration`.

    Returns:
        A row for each model, in order of appearance, after it one for the
        model with its calibration (`fm, platt`).

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
        tests: list[Mapping[str, Any]] = [run["test"] for run in own]
        for name in METRICS:
            row[name] = mean_and_std(test.get(name) for test in tests)
        if "grouped_auc" in tests[0]:
            row["grouped_auc"] = mean_and_std(
                test.get("grouped_auc") for test in tests
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
        rows.append(cast(SummaryRow, row))
    return rows


def reference_row(name: str, metrics: Metrics) -> SummaryRow:
    """A row to compare models with, of what was not trained.

    Args:
        name: str. Stands in the column of the models.
        metrics: of the test data.

    Example:

    >>> metrics = {"auc": 0.5, "log_loss": 0.6}
    >>> row = reference_row("constant", metrics)
    >>> row["auc"]["mean"], row["parameters"]
    (0.5, None)
    """
    values: Mapping[str, Any] = metrics
    nothing = mean_and_std(())
    names = [*METRICS, *(n for n in ("grouped_auc",) if n in values)]
    row: dict[str, Any] = {
        "model": name,
        "parameters": None,
        "seeds": 1,
        **{n: mean_and_std([values.get(n)]) for n in names},
        "epochs": nothing,
        "seconds": nothing,
    }
    return cast(SummaryRow, row)


def calibrated(run: Run) -> Run:
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
    own = run.copy()
    calibration = own.pop("calibration")
    own["model"] = f"{run['model']}, {calibration['method']}"
    own["test"] = calibration["test"]
    return own


def _by_model(
    runs: Sequence[Run],
) -> list[list[Run]]:
    """The runs of each model, then those of them with a calibration."""
    groups = []
    for model in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == model]
        groups.append(own)
        if all("calibration" in run for run in own):
            groups.append([calibrated(run) for run in own])
    return groups
