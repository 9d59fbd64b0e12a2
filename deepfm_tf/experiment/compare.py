"""Models side by side, on the same data, with several seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import deepfm_tf
from deepfm_tf.arrays import Array
from deepfm_tf.experiment.commands import CompareSettings
from deepfm_tf.experiment.comparison import (
    FOCUS,
    add_steps_to_reach,
    lead,
)
from deepfm_tf.experiment.config import write_config
from deepfm_tf.experiment.kept_runs import (
    claim_folder,
    load_result,
    next_command,
    time_left,
    train_and_test,
    write_pages,
)
from deepfm_tf.experiment.report import report_content, without_nan
from deepfm_tf.experiment.run import begin
from deepfm_tf.experiment.training import num_steps

# Points of the learning curve in an epoch, unless told; and at least so many
# steps between them, since an evaluation costs as much as many small steps.
_POINTS, _LEAST_STEPS = 5, 10
# Columns that a terminal has no room for.
_PAGE_ONLY = ("normalized entropy", "calibration error", "best epoch")


def compare(settings: CompareSettings) -> dict[str, Any]:
    """Run what is not kept yet, and report on everything."""
    strategy, data = begin(settings)
    directory = settings.run / "results"
    fingerprint = settings.results_fingerprint(data)
    claim_folder(directory, settings.run, fingerprint)
    write_config(settings)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    wanted = [(name, seed) for seed in seeds for name in settings.model]
    runs: list[dict[str, Any]] = []
    for number, (name, seed) in enumerate(wanted):
        path = _path(directory, name, seed)
        if not path.is_file():
            left = time_left(runs, [name for name, _ in wanted[number:]])
            print(f"\n[{number + 1}/{len(wanted)}] {name}, seed {seed}{left}")
            _run(settings, name, seed, data, strategy, path)
            runs.append(load_result(path))
            print(_line(runs[-1]))
        else:
            runs.append(load_result(path))
            print(f"[{number + 1}/{len(wanted)}] {name}, seed {seed}: kept")
    predictions = {
        (name, seed): np.load(_path(directory, name, seed).with_suffix(".npy"))
        for name, seed in wanted
    }
    label, weight = np.load(directory / "label.npy"), None
    if data["test"].schema.example_weight is not None:
        weight = np.load(directory / "weight.npy")
    report = _report(settings, data, runs, label, predictions, weight)
    _write(settings, report)
    return report


def _run(
    settings: CompareSettings,
    name: str,
    seed: int,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
    path: Path,
) -> None:
    """Train one model with one seed, and keep what came out."""
    own = dataclasses.replace(
        settings, seed=seed, run=settings.run / f"seed-{seed}"
    )
    usual = max(_LEAST_STEPS, num_steps(settings, data["train"]) // _POINTS)
    curve = deepfm_tf.callbacks.LearningCurve(
        data["valid"].dataset(settings.batch_size),
        settings.curve_every or usual,
        own.run / name / "curve.json",
    )
    first = seed == settings.seed
    train_and_test(own, name, data, strategy, curve, path, first)


def _path(directory: Path, name: str, seed: int) -> Path:
    return directory / f"{name}-seed-{seed}.json"


def _line(run: dict[str, Any]) -> str:
    test = run["test"]
    auc = "undefined" if test["auc"] is None else f"{test['auc']:.4f}"
    return (
        f"  {run['seconds']:.1f} s, {run['epochs']:g} epochs, test "
        f"AUC {auc}, log loss {test['log_loss']:.4f}"
    )


def _report(
    settings: CompareSettings,
    data: dict[str, deepfm_tf.PreparedData],
    runs: list[dict[str, Any]],
    label: Array,
    predictions: dict[tuple[str, int], Array],
    weight: Array | None,
) -> dict[str, Any]:
    reach = add_steps_to_reach(runs, settings.monitor)
    report = report_content(settings, data, runs)
    if reach is not None:
        report["reach"] = reach
    ranked = deepfm_tf.metrics.rank_models(runs, settings.monitor)
    report["best"] = ranked[0]
    report["next_step"] = (
        f"train {ranked[0]} again, the best on the validation data, and export "
        "it"
    )
    report["next_command"] = next_command(settings, ranked[0])
    if len(ranked) > 1:
        focus = FOCUS if FOCUS in ranked else ranked[0]
        baseline = next(name for name in ranked if name != focus)
        report["comparisons"] = deepfm_tf.metrics.compare_over_seeds(
            baseline,
            [name for name in settings.model if name != baseline],
            sorted({run["seed"] for run in runs}),
            label,
            predictions,
            weight,
        )
        report["lead"] = lead(report, focus, baseline)
    return report


def _write(settings: CompareSettings, report: dict[str, Any]) -> None:
    """The page, the table, the JSON and the plots, and a word on them."""
    report = without_nan(report)
    reach = report.get("reach", {}).get("name")
    rows = deepfm_tf.report.results_table(report["summary"], reach)
    page = write_pages(Path(str(settings.report)), report, rows)
    # A terminal is narrow: what is not about the test is in the page.
    shown = [t for t in rows[0] if t not in ("parameters", *_PAGE_ONLY)]
    print(f"\n{deepfm_tf.report.text_table(rows, shown)}\n")
    if "lead" in report:
        print(f"{report['lead']}\n")
    print(
        f"Page: {page} (table, JSON and plots beside it)\n"
        f"Next, {report['next_step']}:\n    {report['next_command']}"
    )
