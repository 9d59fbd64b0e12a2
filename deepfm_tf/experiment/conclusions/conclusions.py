"""From the numbers of an experiment to its findings and its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

import deepfm_tf
from deepfm_tf.arrays import Array
from deepfm_tf.experiment.conclusions import findings
from deepfm_tf.experiment.conclusions.constant import (
    CONSTANT,
    base_rate,
    constant_metrics,
)
from deepfm_tf.experiment.fitting.training import num_steps, steps_between
from deepfm_tf.experiment.options.settings import LAZY_OPTIMIZERS, MODELS

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

# Those that a model is compared with, the first that was trained.
_SIMPLER = ("fm", "logistic_regression")
# Rows times replicates of a bootstrap, if there are enough replicates.
_DRAWS = 50_000_000


class Predicted(NamedTuple):
    """The test data, and what the models predict for them.

    Attributes:
        label: (rows,).
        predictions: model and seed -> (rows,).
        weight: (rows,) or None.
    """

    label: Array
    predictions: Mapping[tuple[str, int], Array]
    weight: Array | None = None


class Conclusions(TypedDict):
    """What a Report holds of them."""

    summary: list[deepfm_tf.report.SummaryRow]  # the constant at its end
    findings: list[str]
    verdict: str


def conclude(
    settings: Settings,
    data: Mapping[str, deepfm_tf.PreparedData],
    runs: Sequence[Any],
    best: str,
    rows: Predicted,
    comparisons: Sequence[deepfm_tf.metrics.SeedComparison] | None = None,
) -> Conclusions:
    """All that is to be said of the runs, and the table to say it under.

    Args:
        settings: the options.
        data: by part.
        runs: a `deepfm_tf.report.Run` each.
        best: str. The model that the validation data choose.
        rows: of the test data, and the predictions of every run.
        comparisons: of models worth a word. Defaults to each model against
            FM, or else against logistic regression.
    """
    test = data["test"]
    rate = base_rate(data["train"])
    constant = constant_metrics(
        rate, runs[0]["test"]["mean_label"], len(rows.label)
    )
    if "grouped_auc" in runs[0]["test"]:
        constant["grouped_auc"] = constant["auc"]
    summary = deepfm_tf.report.summarize_runs(runs)
    if comparisons is None:
        comparisons = _with_simpler(rows, test.groups)
    names = {run["model"]: run["preset"] for run in runs}
    presets = {}
    for model, name in names.items():  # those of a sweep are its structures
        kind = model if model in MODELS else settings.model[0]
        presets[model] = settings.preset_for(kind, data["train"], name)
    flags = {
        model: findings.gentler_flags(
            preset.learning_rate,
            preset.batch_l2 or settings.embedding_l2,
            settings.optimizer in LAZY_OPTIMIZERS,
        )
        for model, preset in presets.items()
    }
    courses = {}
    for model, preset in presets.items():
        own = [run for run in runs if run["model"] == model]
        steps = num_steps(preset, data["train"])
        courses[model] = _of_training(
            *(settings, model, own, flags[model], steps),
            steps_between(settings, preset, data["train"]),
            _rarer(data["valid"]),
        )
        if "still" in courses[model]:  # nothing to hold back yet
            flags[model] = findings.more_epochs(settings.epochs)
    said = [
        findings.not_below_constant(
            *(row["model"], loss, constant["log_loss"]),
            # A row may be of a model's calibration: "fm, platt".
            flags[row["model"].partition(", ")[0]],
        )
        for row in summary
        if (loss := row["log_loss"]["mean"]) is not None
    ]
    rarer = _rarer(test)
    if rarer < findings.ENOUGH:
        said.append(_few(settings, test, best, rows))
    for course in courses.values():
        said += course.values()
    said.append(findings.often_unseen(_unseen(settings, data)))
    equal: str | None = None
    for entry in comparisons:
        if entry["metric"] != "log_loss":
            continue
        found = findings.not_better(
            entry["model"],
            entry["baseline"],
            entry["metric"],
            entry["first"],
            entry["second"],
            entry["p_value"],
        )
        said.append(found)
        if found is not None and entry["model"] == best:
            equal = entry["baseline"]
    gain = _against_constant(best, rows, rate, test.groups)
    verdict = findings.verdict(
        best,
        len(settings.model),
        gain["improvement"] / gain["second"],
        gain["low"] / gain["second"],
        gain["high"] / gain["second"],
        test.num_rows,
        rarer,
        equal,
    )
    reference = deepfm_tf.report.reference_row(CONSTANT, constant)
    return {
        "summary": [*summary, reference],
        "findings": [text for text in said if text is not None],
        "verdict": verdict,
    }


def _unseen(
    settings: Settings, data: Mapping[str, deepfm_tf.PreparedData]
) -> dict[str, float]:
    """Shares of fields whose values `--encodings` would tell more of."""
    fields = data["train"].schema.fields
    if settings.origin is not None or any(f.encodings for f in fields):
        return {}
    kinds = {field.name: field.type_name for field in fields}
    return {
        entry.field: entry.unseen
        for entry in data["valid"].shares
        if entry.unseen is not None
        and entry.rows >= findings.ENOUGH
        and kinds[entry.field] == "categorical"
    }


def _rarer(part: deepfm_tf.PreparedData) -> int:
    """Rows of the rarer class."""
    return min(part.num_positives, part.num_rows - part.num_positives)


def _with_simpler(
    rows: Predicted, groups: Array | None
) -> list[deepfm_tf.metrics.SeedComparison]:
    """Each model against the best known of the simpler ones."""
    seeds = sorted({seed for _, seed in rows.predictions})
    models = list(dict.fromkeys(model for model, _ in rows.predictions))
    found: list[deepfm_tf.metrics.SeedComparison] = []
    for model in models:
        # FM itself is compared with logistic regression.
        place = _SIMPLER.index(model) + 1 if model in _SIMPLER else 0
        simpler = [name for name in _SIMPLER[place:] if name in models]
        if simpler:
            found += deepfm_tf.metrics.compare_over_seeds(
                *(simpler[0], [model], seeds, rows.label),
                *(rows.predictions, rows.weight),
                groups=groups,
                num_replicates=_num_replicates(rows),
            )
    return found


def _against_constant(
    best: str, rows: Predicted, rate: float, groups: Array | None
) -> deepfm_tf.metrics.SeedComparison:
    """By how much a model's log loss is below that of the average rate."""
    seeds = sorted({seed for _, seed in rows.predictions})
    constant = np.full(len(rows.label), rate)
    _, log_loss = deepfm_tf.metrics.compare_over_seeds(
        CONSTANT,
        [best],
        seeds,
        rows.label,
        {**rows.predictions, **{(CONSTANT, seed): constant for seed in seeds}},
        rows.weight,
        groups=groups,
        num_replicates=_num_replicates(rows),
    )
    return log_loss


def _num_replicates(rows: Predicted) -> int:
    """As many as take some seconds: a large test needs no more."""
    return max(200, min(1000, _DRAWS // len(rows.label)))


def _few(
    settings: Settings,
    test: deepfm_tf.PreparedData,
    best: str,
    rows: Predicted,
) -> str | None:
    """How far chance moves the best model's metrics."""
    seed = min(seed for model, seed in rows.predictions if model == best)
    prediction = rows.predictions[best, seed]
    metrics: Mapping[str, Any] = deepfm_tf.metrics.binary_metrics(
        rows.label, prediction, rows.weight
    )
    intervals = deepfm_tf.metrics.bootstrap_intervals(
        rows.label,
        prediction,
        rows.weight,
        groups=test.groups,
        num_replicates=_num_replicates(rows),
    )
    option = "--test with a larger file"
    if not settings.test:
        option = "--test with a file of its own, or more rows in --train"
    return findings.few_of_a_class(
        test.num_positives,
        test.num_rows - test.num_positives,
        best,
        [
            (name, metrics[name], *intervals[name])
            for name in ("auc", "log_loss")
        ],
        option,
    )


def _of_training(
    settings: Settings,
    model: str,
    runs: Sequence[Any],
    flags: str,
    steps: int,
    every: int,
    rarer: int,
) -> dict[str, str]:
    """What the course of the training says, in most of a model's runs."""
    metric = settings.monitor
    found: dict[str, list[str]] = {"overfits": [], "still": [], "averaged": []}
    for run in runs:
        values = run["history"][f"val_{metric}"]
        if any(v is None or v != v for v in values):  # of one class
            continue
        if settings.origin is not None and len(values) == 1:
            continue  # a further day is learnt from once
        num_averaged = run.get("averaged", 1)
        for name, text in (
            (
                "averaged",
                None
                if num_averaged == 1
                else findings.averaged(
                    model, metric, num_averaged, run["best_epoch"]
                ),
            ),
            (
                "overfits",
                None
                if num_averaged > 1  # so that later ones are as good
                else findings.overfits(
                    model, values, metric, max(1, steps // every), flags, rarer
                ),
            ),
            (
                "still",
                findings.still_improving(
                    model,
                    values,
                    metric,
                    settings.epochs * steps // every,
                    settings.epochs,
                ),
            ),
        ):
            found[name] += [] if text is None else [text]
    return {
        name: texts[0]
        for name, texts in found.items()
        if 2 * len(texts) > len(runs)
    }
