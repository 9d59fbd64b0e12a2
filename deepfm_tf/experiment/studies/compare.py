"""Models side by side, on the same data, with several seeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import deepfm_tf
from deepfm_tf.arrays import Array
from deepfm_tf.experiment.conclusions.conclusions import Predicted, conclude
from deepfm_tf.experiment.data import evaluation_dataset
from deepfm_tf.experiment.fitting.training import num_steps
from deepfm_tf.experiment.options.commands import CompareSettings
from deepfm_tf.experiment.options.config import write_config
from deepfm_tf.experiment.report import report_content, without_nan
from deepfm_tf.experiment.run import begin
from deepfm_tf.experiment.studies.kept_runs import (
    claim_folder,
    load_result,
    next_command,
    time_left,
    train_and_test,
    write_pages,
)

# Whose lead is told, and whose best value is a mark for it.
FOCUS = "deepfm"
MARK = "fm"
# Points of the learning curve in an epoch, unless told; and at least so many
# steps between them, since an evaluation costs as much as many small steps.
_POINTS, _LEAST_STEPS = 5, 10
# Columns that a terminal has no room for.
_PAGE_ONLY = ("calibration error", "best epoch", "parameters")


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
    preset = settings.preset_for(name, data["train"])
    usual = max(_LEAST_STEPS, num_steps(preset, data["train"]) // _POINTS)
    curve = deepfm_tf.callbacks.LearningCurve(
        evaluation_dataset(data["valid"], settings.evaluation_batch_size),
        settings.curve_every or usual,
        own.run / name / "curve.json",
    )
    first = seed == settings.seed
    if first:
        print(f"  preset {preset.chosen}: {preset}")
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
    comparisons: list[deepfm_tf.metrics.SeedComparison] = []
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
        comparisons = [e for e in report["comparisons"] if e["model"] == focus]
    return report | conclude(
        *(settings, data, runs, ranked[0]),
        Predicted(label, predictions, weight),
        comparisons,
    )


def _write(settings: CompareSettings, report: dict[str, Any]) -> None:
    """The page, the table, the JSON and the plots, and a word on them."""
    report = without_nan(report)
    reach = report.get("reach", {}).get("name")
    rows = deepfm_tf.report.results_table(report["summary"], reach)
    page = write_pages(Path(str(settings.report)), report, rows)
    # A terminal is narrow: what is not about the test is in the page.
    shown = [title for title in rows[0] if title not in _PAGE_ONLY]
    print(f"\n{deepfm_tf.report.text_table(rows, shown)}\n")
    for text in report["findings"]:
        print(text)
    if "lead" in report:
        print(f"{report['lead']}\n")
    print(
        f"Page: {page} (table, JSON and plots beside it)\n"
        f"Next, {report['next_step']}:\n    {report['next_command']}"
    )
