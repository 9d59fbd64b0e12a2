"""What the commands that train many models share."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import deepfm_tf
from deepfm_tf.experiment.command_line import words_of
from deepfm_tf.experiment.fitting.forecast import duration
from deepfm_tf.experiment.fitting.training import UserError
from deepfm_tf.experiment.options.settings import Settings
from deepfm_tf.experiment.report import write_json
from deepfm_tf.experiment.results import insight
from deepfm_tf.experiment.run import train
from deepfm_tf.experiment.run_folder.files import writing
from deepfm_tf.storage import write_text

# What to do where a disk is full.
RESUME_HINT = "The same command continues with the unfinished runs."
# Options that do not go with training one model to export it.
_NOT_ALONE = ("report", "run", "slice_by")


def claim_folder(directory: Path, run: Path, fingerprint: str) -> None:
    """See that what is kept belongs to this command.

    Args:
        directory: where the results of runs are kept.
        run: the folder as the user knows it.
        fingerprint: of all that the results depend on.
    """
    path = directory / "settings.txt"
    if path.is_file() and path.read_text(encoding="utf-8") != fingerprint:
        raise UserError(
            f"{run} holds runs on other data or with other options "
            "than now. Give another folder with --run, or remove this one."
        )
    write_text(path, fingerprint)


def train_and_test(
    settings: Settings,
    name: str,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
    curve: deepfm_tf.callbacks.LearningCurve,
    path: Path,
    with_strengths: bool,
    seconds: float | None = None,
) -> None:
    """Train a model, and keep all that a report tells of it.

    Args:
        settings: the options, with this run's own seed and folder.
        name: str. The model.
        data: by part.
        strategy: of `deepfm_tf.create_strategy`.
        curve: records the validation metrics.
        path: where the result goes, as JSON; the probabilities beside it, and
            the labels in `label.npy`, the weights in `weight.npy`.
        with_strengths: bool. See `insight`.
        seconds: float. What the training took, if it is over already.
    """
    begin = time.perf_counter()
    model, result, rows = train(settings, name, data, strategy, curve)
    label, probability, weight = rows
    result |= {"seed": settings.seed, "curve": curve.points}
    if seconds is not None:
        result["seconds"] = seconds
    result |= insight(settings, model, data, rows, with_strengths)
    with writing(path.parent, RESUME_HINT):
        np.save(path.parent / "label.npy", label)
        if weight is not None:
            np.save(path.parent / "weight.npy", weight)
        np.save(path.with_suffix(".npy"), probability)
        save_result(result, path, begin)
    deepfm_tf.callbacks.drop_checkpoints(settings.run / name)


def save_result(result: dict[str, Any], path: Path, begin: float) -> None:
    """Write a result, which says that the run is finished.

    Args:
        result: plain data.
        path: where to.
        begin: of the run, by `time.perf_counter`.
    """
    result["wall_seconds"] = time.perf_counter() - begin
    write_json(path, result)


def load_result(path: Path) -> dict[str, Any]:
    """A result that was kept."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def time_left(runs: Sequence[dict[str, Any]], wanted: Sequence[str]) -> str:
    """By what each model took so far, the run about to begin included.

    Args:
        runs: results, with `model` and `wall_seconds`.
        wanted: the models of the runs that are left.
    """
    if not runs:
        return ""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        seconds.setdefault(run["model"], []).append(run["wall_seconds"])
    usual = statistics.fmean(run["wall_seconds"] for run in runs)
    left = sum(statistics.fmean(seconds.get(name, [usual])) for name in wanted)
    return f", about {duration(left)} left"


def next_command(settings: Settings, model: str, **changed: Any) -> str:
    """What trains the best model again, with the first seed, to export it.

    Args:
        settings: the options.
        model: str.
        **changed: options that it needs other values of.
    """
    words = words_of(
        settings,
        **dict.fromkeys(_NOT_ALONE),
        **changed,
        model=(model,),
        prepared=settings.prepared_folder,
        export=f"saved_models/{_data_name(settings)}",
    )
    return deepfm_tf.shell.command_line(*settings.recipe.command_words, *words)


def _data_name(settings: Settings) -> str:
    """What a servable is called after: the data, not the kind of model.

    Versions of one servable take the same columns, and models of other data
    do not.
    """
    if settings.recipe.label is not None:
        return settings.recipe.name
    stem = Path(settings.train[0].removesuffix(".gz")).stem
    # What `deepfm_tf.serving config` allows in a name.
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("_.-") or "model"


def write_pages(
    directory: Path,
    report: Any,
    rows: Sequence[dict[str, str]],
) -> Path:
    """Write JSON, plots, the page and the table; returns the page's path.

    Args:
        directory: where to.
        report: a `deepfm_tf.report.Report`.
        rows: of the table, as texts.
    """
    figures = deepfm_tf.report.report_figures(report)
    page = directory / "report.html"
    text = deepfm_tf.report.html_report(report, figures)
    table = deepfm_tf.report.markdown_table(rows)
    with writing(directory, RESUME_HINT):
        write_json(directory / "report.json", report)
        for name, plot in figures.items():
            plot.figure.savefig(directory / f"{name}.png")
        write_text(page, text)
        texts = [table, *report["findings"], report.get("lead", "")]
        write_text(directory / "table.md", "\n\n".join(texts) + "\n")
    return page
