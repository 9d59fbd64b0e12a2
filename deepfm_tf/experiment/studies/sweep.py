"""What the structure of the hidden layers changes, and which one is best."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import deepfm_tf
from deepfm_tf import seeds
from deepfm_tf.experiment.conclusions.conclusions import Predicted, conclude
from deepfm_tf.experiment.options.commands import SweepSettings
from deepfm_tf.experiment.options.config import write_config
from deepfm_tf.experiment.options.structures import (
    Space,
    Structure,
    effects,
    lead,
)
from deepfm_tf.experiment.report import (
    report_content,
    results_text,
    without_nan,
)
from deepfm_tf.experiment.run import begin
from deepfm_tf.experiment.studies.kept_runs import (
    claim_folder,
    next_command,
    write_pages,
)

if TYPE_CHECKING:
    from deepfm_tf.experiment.studies.trials import Trials

# Proposals of the search that are known already, before it is called off.
_KNOWN_IN_A_ROW = 100
# Evaluations that a trial may have before it is compared with the others.
_WARM_UP = 2


def sweep(settings: SweepSettings) -> dict[str, Any]:
    """Run what is not kept yet, and report on everything."""
    space = Space.of(settings)
    settings = dataclasses.replace(settings, **space.base.settings())
    strategy, data = begin(settings)
    fingerprint = settings.results_fingerprint(data)
    claim_folder(settings.run / "results", settings.run, fingerprint)
    write_config(settings)

    for text in space.skipped():
        print(f"Left out: {text}.")
    changes = space.changes()
    total = 2 * settings.seeds + len(changes) + settings.trials
    # Here, as it has a Keras callback: --help need not wait for TensorFlow.
    from deepfm_tf.experiment.studies.trials import Trials

    trials = Trials(settings, data, strategy, total)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    base = [
        trials.run(f"base, seed {seed}", space.base, seed, is_tested=True)
        for seed in seeds
    ]
    for factor, changed in changes:
        value = getattr(changed, factor)
        what = f"{factor.replace('_', ' ')} {value}"
        trials.run(what, changed, settings.seed)
    searched = search(settings, space, trials)
    best = Structure(**trials.finished[trials.best]["structure"])
    tested = {"base": base}
    if best.name != space.base.name:
        tested["best"] = [
            trials.run(f"best, seed {seed}", best, seed, is_tested=True)
            for seed in seeds
        ]
    trials.forget()
    report = _report(settings, data, space, trials, searched, tested)
    _write(settings, report)
    return report


def search(
    settings: SweepSettings, space: Space, trials: Trials
) -> list[dict[str, Any]]:
    """Let Optuna propose structures, given what is finished.

    Nothing of it is kept but the results: told the same ones, it proposes the
    same structures, so that a stopped search goes on as if undisturbed.
    """
    if not settings.trials:
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, Any] = {
        name: optuna.distributions.CategoricalDistribution(values)
        for name, values in space.values.items()
    }
    study = optuna.create_study(
        direction="maximize" if settings.monitor == "auc" else "minimize",
        pruner=optuna.pruners.MedianPruner(
            n_warmup_steps=_WARM_UP * trials.every
        ),
    )
    for run in trials.finished.values():
        study.enqueue_trial(run["structure"])
        _tell(study, study.ask(distributions), run, settings.monitor)
    searched: list[dict[str, Any]] = []
    known = 0
    while len(searched) < settings.trials and known < _KNOWN_IN_A_ROW:
        study.sampler = optuna.samplers.TPESampler(
            seed=(settings.seed + len(study.trials)) % (seeds.MAX_SEED + 1)
        )
        trial = study.ask(distributions)
        structure = space.canonical(Structure(**trial.params))
        if structure.name in trials.finished:
            run, known = trials.finished[structure.name], known + 1
        else:

            def is_hopeless(
                step: int, value: float, trial: optuna.Trial = trial
            ) -> bool:
                trial.report(value, step)
                return bool(trial.should_prune())

            run = trials.run(
                "search", structure, settings.seed, is_hopeless=is_hopeless
            )
            searched.append(run)
            known = 0
        _tell(study, trial, run, settings.monitor)
    if known == _KNOWN_IN_A_ROW:
        print("The search finds nothing new: give it more values to try.")
    return searched


def _tell(study: Any, trial: Any, run: dict[str, Any], metric: str) -> None:
    """Give a trial the result of a run, as if it had been its own."""
    from optuna.trial import TrialState

    told = study.trials[trial.number].intermediate_values
    for point in run["curve"]:
        if point["step"] not in told:
            trial.report(point[metric], point["step"])
    if run["pruned"]:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, run["value"])


def _report(
    settings: SweepSettings,
    data: dict[str, deepfm_tf.PreparedData],
    space: Space,
    trials: Trials,
    searched: list[dict[str, Any]],
    tested: dict[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    runs = [
        {**run, "model": model} for model, own in tested.items() for run in own
    ]
    report = report_content(settings, data, runs)
    report["title"] = (
        f"The structure of {settings.model[0]} on "
        f"{Path(settings.train[0]).name}"
    )
    best = Structure(**trials.finished[trials.best]["structure"])
    values = {
        model: [run["value"] for run in own] for model, own in tested.items()
    }
    report["structure"] = effects(
        settings.monitor,
        space,
        trials.finished,
        searched,
        values["base"],
        (best.name, values["best"]) if "best" in values else None,
    )
    report["best"], recommended = best.name, "base"
    rows = _predicted(settings, data["test"], trials, tested)
    if "best" in tested:
        report["comparisons"] = deepfm_tf.metrics.compare_over_seeds(
            "base",
            ["best"],
            [run["seed"] for run in tested["base"]],
            *rows,
        )
        if deepfm_tf.metrics.is_better(
            report["comparisons"], "best", settings.monitor
        ):
            recommended = "best"
    report["recommended"] = recommended
    report["lead"] = lead(report)
    structure = best if recommended == "best" else space.base
    report["next_step"] = f"train the {recommended} again and export it"
    report["next_command"] = next_command(
        settings, settings.model[0], **structure.settings()
    )
    return report | conclude(
        *(settings, data, runs, list(tested)[-1], rows),
        report.get("comparisons", ()),
    )


def _predicted(
    settings: SweepSettings,
    test: deepfm_tf.PreparedData,
    trials: Trials,
    tested: dict[str, list[dict[str, Any]]],
) -> Predicted:
    """What the tested runs keep of the test data."""
    results, weight = settings.run / "results", None
    if test.schema.example_weight is not None:
        weight = np.load(results / "weight.npy")
    predictions = {
        (model, run["seed"]): np.load(
            trials.path(
                Structure(**run["structure"]), run["seed"], True
            ).with_suffix(".npy")
        )
        for model, own in tested.items()
        for run in own
    }
    return Predicted(np.load(results / "label.npy"), predictions, weight)


def _write(settings: SweepSettings, report: dict[str, Any]) -> None:
    """The page, the table, the JSON and the plots, and a word on them."""
    report = without_nan(report)
    rows = deepfm_tf.report.structure_table(report["structure"])
    page = write_pages(Path(str(settings.report)), report, rows)
    print(f"\n{deepfm_tf.report.text_table(rows)}\n")
    print(f"{results_text(report['summary'], report['findings'])}\n")
    print(f"{report['lead']}\n")
    print(
        f"Page: {page} (table, JSON and plots beside it)\n"
        f"Next, {report['next_step']}:\n    {report['next_command']}"
    )
