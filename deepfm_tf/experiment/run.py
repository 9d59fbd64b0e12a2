"""One experiment: prepare, train each model, compare, export, report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepfm_tf
from deepfm_tf.arrays import Array
from deepfm_tf.backend import import_tensorflow
from deepfm_tf.cluster import read_cluster
from deepfm_tf.experiment import auto
from deepfm_tf.experiment.checks import check
from deepfm_tf.experiment.conclusions.conclusions import Predicted, conclude
from deepfm_tf.experiment.data import (
    evaluation_dataset,
    prepare,
    read_schema,
)
from deepfm_tf.experiment.export import check_context, export
from deepfm_tf.experiment.fitting import (
    progressive,
    trained_files,
    training as learning,
)
from deepfm_tf.experiment.fitting.training import UserError, user_errors
from deepfm_tf.experiment.fitting.workers import load_prepared, say_part
from deepfm_tf.experiment.inputs import (
    FirstRows,
    check_columns,
    check_headers,
)
from deepfm_tf.experiment.options.config import changed_options, write_config
from deepfm_tf.experiment.options.settings import Settings
from deepfm_tf.experiment.report import results_text, write_report
from deepfm_tf.experiment.results import calibrate, check_classes, insight
from deepfm_tf.experiment.run_folder.files import is_begun, writing
from deepfm_tf.storage import write_text


@dataclasses.dataclass
class Outcome:
    """What an experiment leaves behind."""

    data: dict[str, deepfm_tf.PreparedData]
    results: list[dict[str, Any]]
    models: dict[str, deepfm_tf.CTRModel]
    exported: Path | None
    exported_model: str | None


def run(
    settings: Settings,
    export_model: str | None = None,
    reference: tuple[str, deepfm_tf.metrics.Metrics] | None = None,
) -> Outcome:
    """Run the whole experiment, and say what happens.

    Args:
        settings: the options.
        export_model: the model to export. Defaults to the best on the
            validation data.
        reference: name and metrics of a further row for the table, such as
            the Bayes optimum.
    """
    strategy, data = begin(settings)
    if not deepfm_tf.strategies.is_chief(strategy):
        for name in settings.model:
            model, _ = fit(settings, name, data, strategy)
            if settings.shard_tables:  # of which the chief gathers the rows
                deepfm_tf.strategies.on_one_host(model)
        deepfm_tf.strategies.exchange(strategy, "")
        return Outcome(data, [], {}, None, None)
    for name in settings.model:
        _check_resumed(settings, name, settings.fingerprint(data))
    write_config(settings)
    results, models = [], {}
    calibrations: dict[str, deepfm_tf.calibration.Calibration] = {}
    predictions: dict[tuple[str, int], Array] = {}
    told_first: list[str] = []
    for name in settings.model:
        own, tried = settings, None
        if settings.auto:
            own, tried = _choose(settings, name, data, strategy)
        preset = own.preset_for(name, data["train"])
        print(
            f"\n{name}, {strategy.num_replicas_in_sync} replica(s), preset "
            f"{preset.chosen}: {preset}"
        )
        models[name], result, rows = train(own, name, data, strategy)
        if tried is not None:
            if len(tried) > 1:
                told_first.append(auto.told(name, tried, settings.monitor))
            result["presets"] = [vars(trial) for trial in tried]
            result["seconds"] = sum(trial.seconds for trial in tried)
        if "before" in result:
            told_first.append(progressive.told(settings, result))
        if settings.report is not None:
            result |= insight(settings, models[name], data, rows)
        if settings.calibration is not None:
            with user_errors():
                calibrations[name], result["calibration"] = calibrate(
                    settings, models[name], data, result, rows
                )
        results.append(result)
        label, predictions[name, settings.seed], weight = rows
    exported, best = None, export_model or _best(settings, results)
    conclusions = conclude(
        *(settings, data, results, best),
        Predicted(label, predictions, weight),
    )
    conclusions["findings"][:0] = told_first
    table = [*conclusions["summary"]]
    if reference is not None:
        table.append(deepfm_tf.report.reference_row(*reference))
    print(f"\n{results_text(table, conclusions['findings'])}\n")
    print(f"{conclusions['verdict']}\n")
    if settings.export is not None:
        (result,) = (r for r in results if r["model"] == best)
        calibration = calibrations.get(best)
        with writing(settings.export, _again("--export", settings)):
            exported = export(settings, models[best], data, result, calibration)
    elif settings.origin is not None:
        print(
            f"No version is exported: {settings.origin.path} has no exported "
            "version. Give --export."
        )
    if settings.report is not None:
        with writing(settings.report, _again("--report", settings)):
            write_report(settings, data, results, conclusions)
    if improve := auto.improving_command(settings):
        print(f"To try more presets on the same data:\n    {improve}")
    # For which the others have waited: all end together.
    deepfm_tf.strategies.exchange(strategy, "")
    return Outcome(data, results, models, exported, best if exported else None)


def _choose(
    settings: Settings,
    name: str,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
) -> tuple[Settings, list[auto.Trial]]:
    """The best of the presets, trained."""
    auto.forget(settings, name)
    return auto.choose(
        settings,
        name,
        auto.candidates(settings, name, data["train"]),
        lambda own, end: fit(own, name, data, strategy, end_epoch=end)[1],
    )


def begin(
    settings: Settings,
) -> tuple[Any, dict[str, deepfm_tf.PreparedData]]:
    """The strategy, and the prepared data by part."""
    check(settings)
    with user_errors():
        check_headers(settings)
        first_rows = FirstRows(settings)
        import_tensorflow()
        say_part(read_cluster())
        strategy = deepfm_tf.create_strategy(
            settings.replicas, shard_tables=settings.shard_tables
        )
        # Before any work: a wrong DEEPFM_TF_KERNELS is refused.
        kernels = deepfm_tf.training.kernels_told(strategy)
        data = deepfm_tf.strategies.on_chief(
            strategy, lambda: _prepared(settings, first_rows)
        )
        if data is None:
            data = load_prepared(settings)
    if deepfm_tf.strategies.is_chief(strategy):
        print(kernels)
    return strategy, data


def _prepared(
    settings: Settings, first_rows: FirstRows
) -> dict[str, deepfm_tf.PreparedData]:
    schema = read_schema(settings, first_rows)
    check_context(settings, schema)
    check_columns(settings, schema)
    if settings.derive is None:
        trained_files.check_newest(
            settings,
            lambda: deepfm_tf.data.file_digests(
                settings.train, schema, settings.text_format
            ),
        )
    data = prepare(settings, schema)
    if settings.derive is not None:  # of files that are made in between
        trained_files.check_newest(settings, lambda: data["train"].sources)
    if settings.calibration is not None:
        check_classes(data["valid"])
    return data


def train(
    settings: Settings,
    name: str,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
    curve: deepfm_tf.callbacks.LearningCurve | None = None,
) -> tuple[deepfm_tf.CTRModel, dict[str, Any], tuple[Any, ...]]:
    """Train a model, or go on with it, and evaluate it on the test data.

    Args: as of `fit`.

    Returns:
        The model, its result, and what `predict_with_weights` gives on the
        test data.
    """
    model, result = fit(settings, name, data, strategy, curve)
    result.pop("ended", None)  # it says nothing of a model
    model = deepfm_tf.strategies.on_one_host(model)
    rows = deepfm_tf.evaluation.predict_with_weights(
        model, evaluation_dataset(data["test"], settings.evaluation_batch_size)
    )
    metrics = deepfm_tf.metrics.binary_metrics(
        *rows, groups=data["test"].groups
    )
    # Of all rows, where the workers have shared them out.
    result["parameters"] = model.count_params()
    return model, {**result, "test": metrics}, rows


def fit(
    settings: Settings,
    name: str,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
    curve: deepfm_tf.callbacks.LearningCurve | None = None,
    end_epoch: Callable[[], None] | None = None,
) -> tuple[deepfm_tf.CTRModel, dict[str, Any]]:
    """Train a model, or go on with it; the test data are left alone.

    Args:
        settings: the options.
        name: str. The model.
        data: by part.
        strategy: of `deepfm_tf.create_strategy`.
        curve: records the validation metrics between epochs, and nothing
            is said of them then but in a terminal. Optional.
        end_epoch: called at the end of each epoch. Optional.
    """
    directory = settings.run / name
    fingerprint = settings.fingerprint(data)
    preset = settings.preset_for(name, data["train"])
    is_chief = deepfm_tf.strategies.is_chief(strategy)
    state_file = directory / "state.json"
    resumes = (
        _check_resumed(settings, name, fingerprint) and state_file.is_file()
    )
    kept = state_file.read_text() if resumes else ""
    # Before the chief changes anything there.
    deepfm_tf.strategies.agree(
        strategy,
        hashlib.blake2b(f"{fingerprint} {kept}".encode()).hexdigest(),
        "options, data and last checkpoint",
    )
    deepfm_tf.set_seed(settings.seed)
    first_epoch = 0
    with strategy.scope():
        if resumes:
            model, first_epoch = deepfm_tf.load_checkpoint(directory)
        else:
            if is_chief:
                shutil.rmtree(directory, ignore_errors=True)
            model = learning.build(settings, name, data["train"])
    if is_chief:
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / "settings.txt", fingerprint)
        trained_files.write(settings, data["train"], directory)
    before = progressive.before_training(settings, model, data, directory)
    dataset, stretch = learning.training_data(
        *(settings, preset, data["train"], first_epoch, strategy)
    )
    if first_epoch:
        found = deepfm_tf.callbacks.read_state(directory) or {}
        is_over = found.get("ended") or first_epoch >= stretch["epochs"]
        begun = "Trained already, up to" if is_over else "Resumed after"
        print(f"{begun} epoch {first_epoch}")
    callbacks = deepfm_tf.training_callbacks(
        evaluation_dataset(data["valid"], settings.evaluation_batch_size),
        directory,
        **preset.callback_arguments(),
        monitor=settings.monitor,
        tensorboard=settings.tensorboard,
    )
    if curve is not None:
        callbacks.insert(1, curve)
    if end_epoch is not None:
        callbacks.append(
            deepfm_tf.callbacks.EpochEnds(end_epoch, preset.evaluations)
        )
    every = math.gcd(stretch["steps_per_epoch"], curve.every if curve else 0)
    begin = time.perf_counter()
    with (
        writing(directory, _again("--run", settings)),
        user_errors(),
        deepfm_tf.training.many_steps_a_call(model, every, preset.batch_size),
    ):
        model.fit(
            dataset,
            **stretch,
            initial_epoch=first_epoch,
            callbacks=callbacks,
            shuffle=False,
            verbose=_verbosity(curve is None) if is_chief else 0,
        )
    seconds = time.perf_counter() - begin
    if not is_chief:
        return model, {}
    state = json.loads((directory / "state.json").read_text())
    history = state["history"]
    # The first epoch includes tracing; it counts only if it is alone.
    times = history["train_seconds"][1:] or history["train_seconds"]
    steps = learning.num_steps(preset, data["train"])
    share = stretch["steps_per_epoch"] / steps
    rate = share * data["train"].num_rows / statistics.median(times)
    averaged = state.get("num_averaged", 1)
    return model, {
        "model": name,
        "preset": settings.preset,
        "parameters": model.count_params(),
        "seconds": seconds,
        "examples_per_second": rate,
        "epochs": round(share * len(history["loss"]), 2),
        "best_epoch": round(share * (state["best_epoch"] + 1), 2),
        "history": history,
        "ended": state.get("ended", False),
        **({"averaged": averaged} if averaged > 1 else {}),
        **({"before": before} if before else {}),
    }


def _verbosity(is_told: bool) -> int:
    return 1 if sys.stdout.isatty() else 2 if is_told else 0


def _check_resumed(settings: Settings, name: str, fingerprint: str) -> bool:
    """Whether a model is gone on with; raises UserError if it cannot be.

    Workers are started anew by what runs them, with the same command: they go
    on wherever they can.
    """
    path = settings.run / name / "settings.txt"
    if not path.is_file():
        return False
    is_same = path.read_text("utf-8") == fingerprint
    if is_same and read_cluster().num_workers > 1:
        return True
    if settings.resume and not is_same:
        changes = ", ".join(changed_options(settings))
        raise UserError(
            f"{path.parent} was trained on other data or with other options "
            f"than now. What differs: {changes or 'the data'}. Resume with "
            "exactly the command that was stopped, or leave out --resume to "
            "start from scratch."
        )
    return settings.resume


def _again(option: str, settings: Settings) -> str:
    """What to do where a disk is full: what is trained is not lost."""
    command = settings.command(resume=is_begun(settings.run))
    if option == "--run":
        return f"Then continue where it stopped:\n    {command}"
    return (
        f"Or give another path with {option}. Nothing is trained again:\n    "
        f"{command}"
    )


def _best(settings: Settings, results: list[dict[str, Any]]) -> str:
    sign = 1 if settings.monitor == "log_loss" else -1
    best = min(
        results,
        key=lambda r: min(
            sign * v for v in r["history"][f"val_{settings.monitor}"]
        ),
    )
    return str(best["model"])
