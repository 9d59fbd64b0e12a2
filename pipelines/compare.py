"""Models side by side, on the same data, with several seeds."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging
import math
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import deepfm_tf
from pipelines import command_line, exporting
from pipelines.comparison import (
    FOCUS,
    add_steps_to_reach,
    compare_with,
    lead,
    ranking,
)
from pipelines.experiment import Settings, begin, train
from pipelines.insight import insight
from pipelines.learning import UserError, num_steps
from pipelines.report import (
    check_plots,
    report_content,
    without_nan,
    write_json,
)
from pipelines.values import positive_int

RECIPES = ("tabular", "avazu", "census", "criteo", "ctr", "synthetic")
# Simple ones first: the order of tables and plots.
ORDER = ("logistic_regression", "fm", "nfm", "wide_and_deep", "deepfm")
# Points of the learning curve in an epoch, unless told; and at least so many
# steps between them, since an evaluation costs as much as many small steps.
_POINTS, _LEAST_STEPS = 5, 10
# Options that do not go with training one model to export it.
_OWN = (
    *("--recipe", "--seeds", "--curve-every", "--model", "--report"),
    *("--run", "--prepared", "--slice-by", "--resume"),
)
# Columns that a terminal has no room for.
_PAGE_ONLY = ("normalized entropy", "calibration error")
_DESCRIPTION = """\
Train models with several seeds on the same data, and compare them: a table of
means and standard deviations, learning curves, differences with intervals.

    python -m pipelines.compare --train clicks.csv --label clicked --seeds 5
    python -m pipelines.compare --recipe census --train train.parquet

Finished runs are kept: the same command goes on after Ctrl-C, and with more
--seeds or other models trains only what is not there yet.
"""


@dataclasses.dataclass
class CompareSettings(Settings):
    """What the command line said; see there."""

    recipe: str
    seeds: int
    curve_every: int | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison from the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Many models in one process are traced again and again, as they must be.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # The recipe decides which other options there are.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_recipe(first)
    options, _ = first.parse_known_args(arguments)
    module = importlib.import_module(f"pipelines.{options.recipe}")
    recipe = dataclasses.replace(
        module.RECIPE,
        name="compare",
        description=_DESCRIPTION,
        settings=CompareSettings,
        add_options=_add_options,
        exports=False,
        defaults=module.RECIPE.defaults
        | {"model": ORDER, "resume": True, "export": None},
    )
    return command_line.main(recipe, arguments, run_with=compare)


def compare(settings: Settings) -> dict[str, Any]:
    """Run what is not kept yet, and report on everything."""
    if not isinstance(settings, CompareSettings):
        raise TypeError(
            "`settings` must be CompareSettings. Received: "
            f"{type(settings).__name__}."
        )
    _check(settings)
    settings.report = settings.report or settings.run / "report"
    strategy, data = begin(settings)
    directory = settings.run / "results"
    _claim(directory, settings, data)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    wanted = [(name, seed) for seed in seeds for name in settings.model]
    runs: list[dict[str, Any]] = []
    for number, (name, seed) in enumerate(wanted):
        path = _path(directory, name, seed)
        if not path.is_file():
            left = _time_left(runs, wanted[number:])
            print(f"\n[{number + 1}/{len(wanted)}] {name}, seed {seed}{left}")
            _run(settings, name, seed, data, strategy, path)
            runs.append(_read(path))
            print(_line(runs[-1]))
        else:
            runs.append(_read(path))
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


def _add_recipe(parser: Any) -> None:
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="tabular",
        help="read the data as this recipe does, with its options and "
        "defaults (default: tabular)",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.conflict_handler = "resolve"  # the options below win
    group = parser.add_argument_group("comparison")
    _add_recipe(group)
    group.add_argument(
        "--seeds",
        type=positive_int,
        default=5,
        metavar="N",
        help="runs of each model, with the seeds --seed, --seed + 1, ...; the "
        "data are split by --seed alone (default: 5)",
    )
    group.add_argument(
        "--curve-every",
        type=positive_int,
        metavar="STEPS",
        help="training steps between two points of the learning curves "
        f"besides the ends of epochs (default: {_POINTS} points an epoch, "
        f"but at least {_LEAST_STEPS} steps)",
    )
    group.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="folder for the page, table, JSON and plots (default: RUN/report)",
    )
    # What a comparison always does.
    group.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)


def _check(settings: CompareSettings) -> None:
    given = exporting.given_options(settings)
    if given:
        raise UserError(
            f"{', '.join(given)} does not go with a comparison, which keeps no "
            "models. The command that it ends with trains the best one and "
            "exports it: say there what you want of the export."
        )
    try:
        check_plots("A comparison")
    except ValueError as error:
        raise UserError(str(error)) from error


def _claim(
    directory: Path,
    settings: CompareSettings,
    data: dict[str, deepfm_tf.PreparedData],
) -> None:
    """See that what is kept belongs to this comparison."""
    path = directory / "settings.txt"
    fingerprint = (
        f"{settings.fingerprint(data)} {settings.epochs} {settings.curve_every}"
    )
    if path.is_file() and path.read_text(encoding="utf-8") != fingerprint:
        raise UserError(
            f"{settings.run} holds runs on other data or with other options "
            "than now. Give another folder with --run, or remove this one."
        )
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(fingerprint, encoding="utf-8")


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
    begin_time = time.perf_counter()
    usual = max(_LEAST_STEPS, num_steps(settings, data["train"]) // _POINTS)
    curve = deepfm_tf.LearningCurve(
        data["valid"].dataset(settings.batch_size),
        settings.curve_every or usual,
        own.run / name / "curve.json",
    )
    model, result = train(own, name, data, strategy, curve)
    label, probability, weight = deepfm_tf.predict_with_weights(
        model, data["test"].dataset(settings.batch_size)
    )
    result |= {"seed": seed, "curve": curve.points}
    result |= insight(settings, model, data, seed == settings.seed)
    np.save(path.parent / "label.npy", label)
    if weight is not None:
        np.save(path.parent / "weight.npy", weight)
    np.save(path.with_suffix(".npy"), probability)
    result["wall_seconds"] = time.perf_counter() - begin_time
    write_json(path, result)  # last: what says that the run is finished
    for checkpoint in (own.run / name).glob("epoch-*.keras"):
        checkpoint.unlink()


def _path(directory: Path, name: str, seed: int) -> Path:
    return directory / f"{name}-seed-{seed}.json"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _line(run: dict[str, Any]) -> str:
    test = run["test"]
    return (
        f"  {run['seconds']:.1f} s, {run['epochs']:g} epochs, test "
        f"AUC {test['auc'] or math.nan:.4f}, log loss {test['log_loss']:.4f}"
    )


def _time_left(
    runs: Sequence[dict[str, Any]], wanted: Sequence[tuple[str, int]]
) -> str:
    """By what each model took so far, this run included."""
    if not runs:
        return ""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        seconds.setdefault(run["model"], []).append(run["wall_seconds"])
    usual = statistics.fmean(run["wall_seconds"] for run in runs)
    left = sum(
        statistics.fmean(seconds.get(name, [usual])) for name, _ in wanted
    )
    if left < 90:
        return f", about {left:.0f} s left"
    if left < 5400:
        return f", about {left / 60:.0f} min left"
    return f", about {left / 3600:.1f} h left"


def _report(
    settings: CompareSettings,
    data: dict[str, deepfm_tf.PreparedData],
    runs: list[dict[str, Any]],
    label: np.ndarray,
    predictions: dict[tuple[str, int], np.ndarray],
    weight: np.ndarray | None,
) -> dict[str, Any]:
    reach = add_steps_to_reach(runs, settings.monitor)
    report = report_content(settings, data, runs)
    if reach is not None:
        report["reach"] = reach
    ranked = ranking(runs, settings.monitor)
    report["best"] = ranked[0]
    report["next_command"] = _next_command(settings, ranked[0])
    if len(ranked) > 1:
        focus = FOCUS if FOCUS in ranked else ranked[0]
        baseline = next(name for name in ranked if name != focus)
        report["comparisons"] = compare_with(
            baseline,
            [name for name in settings.model if name != baseline],
            sorted({run["seed"] for run in runs}),
            label,
            predictions,
            weight,
        )
        report["lead"] = lead(report, focus, baseline)
    return report


def _next_command(settings: CompareSettings, best: str) -> str:
    """What trains the best model again, with the first seed, to export it."""
    words: list[str] = []
    dropped = False
    for word in settings.arguments:
        if word.startswith("--"):
            dropped = word.split("=")[0] in _OWN
        if not dropped:
            words.append(word)
    words = ["python", "-m", f"pipelines.{settings.recipe}", *words]
    words += ["--model", best]
    words += ["--prepared", str(settings.prepared or settings.run / "prepared")]
    words += ["--export", f"saved_models/{best}"]
    return shlex.join(words)


def _write(settings: CompareSettings, report: dict[str, Any]) -> None:
    """The page, the table, the JSON and the plots, and a word on them."""
    directory = Path(str(settings.report))
    report = without_nan(report)
    write_json(directory / "report.json", report)
    figures = deepfm_tf.report_figures(report)
    for name, plot in figures.items():
        plot.figure.savefig(directory / f"{name}.png")
    page = directory / "report.html"
    page.write_text(deepfm_tf.html_report(report, figures), encoding="utf-8")
    reach = report.get("reach", {}).get("name")
    rows = deepfm_tf.results_table(report["summary"], reach)
    sentence = report.get("lead", "")
    (directory / "table.md").write_text(
        f"{deepfm_tf.markdown_table(rows)}\n\n{sentence}\n", encoding="utf-8"
    )
    # A terminal is narrow: what is not about the test is in the page.
    shown = [t for t in rows[0] if t not in ("parameters", *_PAGE_ONLY)]
    print(f"\n{deepfm_tf.comparison_table(shown, rows)}\n")
    if sentence:
        print(f"{sentence}\n")
    print(
        f"Page: {page} (table, JSON and plots beside it)\n"
        f"Next, train {report['best']} again and export it:\n"
        f"    {report['next_command']}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
