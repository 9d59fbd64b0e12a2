"""What the structure of the hidden layers changes, and which one is best."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import deepfm_tf
from deepfm_tf import seeds
from deepfm_tf.experiment.arguments import (
    positive_int,
    share,
    values_of,
    whole_number,
)
from deepfm_tf.experiment.effects import effects, lead
from deepfm_tf.experiment.kept_runs import (
    add_shared_options,
    check_seeds,
    claim_folder,
    next_command,
    refuse_export,
    run_command,
    write_pages,
)
from deepfm_tf.experiment.report import (
    check_extra,
    check_plots,
    report_content,
    without_nan,
)
from deepfm_tf.experiment.run import begin
from deepfm_tf.experiment.settings import Settings
from deepfm_tf.experiment.structures import FACTORS, SHAPES, Space, Structure
from deepfm_tf.experiment.training import (
    ACTIVATIONS,
    WITHOUT_PYRAMID,
    UserError,
)

if TYPE_CHECKING:
    from deepfm_tf.experiment.trials import Trials

# Proposals of the search that are known already, before it is called off.
_KNOWN_IN_A_ROW = 100
# Evaluations that a trial may have before it is compared with the others.
_WARM_UP = 2
_DESCRIPTION = """\
Change the structure of the hidden layers, and see what it changes: first each
factor alone (depth, width, shape, activation, dropout, embedding dimension),
beside what the seed alone changes; then a search over all of them (Optuna).

    {command} --train clicks.csv --label clicked --trials 20

Of each list of values the first is the base. All shapes have as many units:
with 3 layers of mean width 200, constant is 200-200-200, pyramid 300-200-100,
inverted 100-200-300 and diamond 150-300-150 (Guo et al., 2017, section 3.3).
The validation data decide; the test data see only the base and the best.
Finished trials are kept: the same command goes on after Ctrl-C.
"""
_TEXTS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "depth": ("3,1,2,4", positive_int, "hidden layers"),
    "width": ("128,32,400", positive_int, "their mean width"),
    "shape": (",".join(SHAPES), str, f"of {', '.join(SHAPES)}"),
    "activation": ("relu,tanh", str, f"of {', '.join(ACTIVATIONS)}"),
    "dropout": ("0.1,0,0.3,0.5", share, "drop probabilities"),
    "embedding_dim": ("10,4,20", positive_int, "embedding dimensions"),
}
_ALLOWED = {"shape": SHAPES, "activation": ACTIVATIONS}
# What the lists say in a sweep.
_FIXED = ("hidden_units", "activation", "dropout", "embedding_dim")


@dataclasses.dataclass
class SweepSettings(Settings):
    """What the command line said; see there."""

    report_is_folder = True
    recipe: str
    seeds: int
    trials: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    shapes: tuple[str, ...]
    activations: tuple[str, ...]
    dropouts: tuple[float, ...]
    embedding_dims: tuple[int, ...]


def main(
    arguments: Sequence[str] | None = None,
    command_words: tuple[str, ...] = ("deepfm-tf", "sweep"),
    recipes: Mapping[str, str] | None = None,
) -> int:
    """Run the sweep from the command line; returns the exit status.

    Args:
        arguments: of the command line; None for those of the process.
        command_words: what the user typed before them.
        recipes: see `run_command`.
    """
    own = {
        "name": "sweep",
        "command_words": command_words,
        "description": _DESCRIPTION,
        "settings": SweepSettings,
        "add_options": _add_options,
    }
    fixed = dict.fromkeys(_FIXED)
    defaults = fixed | {"model": ("deepfm",)}
    return run_command(arguments, sweep, own, defaults, recipes)


def sweep(settings: Settings) -> dict[str, Any]:
    """Run what is not kept yet, and report on everything."""
    if not isinstance(settings, SweepSettings):
        raise UserError(
            "`settings` must be SweepSettings. Received: "
            f"{type(settings).__name__}."
        )
    _check(settings)
    space = Space({name: getattr(settings, f"{name}s") for name in FACTORS})
    settings = dataclasses.replace(
        settings,
        report=settings.report or settings.run / "report",
        **space.base.settings(),
    )
    strategy, data = begin(settings)
    fingerprint = settings.results_fingerprint(data)
    fingerprint += f" {settings.model} {space.values}"
    claim_folder(settings.run / "results", settings.run, fingerprint)

    for text in space.skipped():
        print(f"Left out: {text}.")
    changes = space.changes()
    total = 2 * settings.seeds + len(changes) + settings.trials
    # Here, as it has a Keras callback: --help need not wait for TensorFlow.
    from deepfm_tf.experiment.trials import Trials

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
    searched = _search(settings, space, trials)
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


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = add_shared_options(parser, "sweep")
    group.add_argument(
        "--trials",
        type=whole_number(0),
        default=20,
        metavar="N",
        help="structures that the search tries after the single changes; 0 "
        "for none (default: 20)",
    )
    group.add_argument(
        "--seeds",
        type=_several,
        default=5,
        metavar="N",
        help="runs of the base, and of the best at the end, with the seeds "
        "--seed, --seed + 1, ...: what the seed alone changes (default: 5)",
    )
    for name, (default, parse, what) in _TEXTS.items():
        parse_all = values_of(parse, _ALLOWED.get(name))
        group.add_argument(
            f"--{name.replace('_', '-')}s",
            type=parse_all,
            default=parse_all(default),
            metavar="A,B",
            help=f"{what}, the base's first (default: {default})",
        )
    # Known, so that they can be refused with a word on what to say instead.
    for name in _FIXED:
        group.add_argument(
            f"--{name.replace('_', '-')}", help=argparse.SUPPRESS
        )


def _several(text: str) -> int:
    try:
        return whole_number(2)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}: one run does not tell what the seed changes"
        ) from None


def _check(settings: SweepSettings) -> None:
    for name in _FIXED:
        if getattr(settings, name) is not None:
            option = f"--{name.replace('_', '-')}"
            lists = f"{option}s"
            if name == "hidden_units":
                lists = "--depths, --widths and --shapes"
            raise UserError(
                f"{option} does not go with a sweep, which changes it. Give "
                f"the values to try with {lists}."
            )
    refuse_export(settings, "a sweep")
    check_seeds(settings)
    if len(settings.model) > 1 or settings.model[0] in WITHOUT_PYRAMID:
        raise UserError(
            "A sweep changes the hidden layers of one model. Received: "
            f"--model {','.join(settings.model)}. Give one that has some, "
            "such as deepfm."
        )
    if settings.trials:
        check_extra("A sweep searches", "tune")
    check_plots("A sweep")


def _search(
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
                return trial.should_prune()

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
    if "best" in tested:
        predictions = {
            (model, run["seed"]): np.load(
                trials.path(
                    Structure(**run["structure"]), run["seed"], True
                ).with_suffix(".npy")
            )
            for model, own in tested.items()
            for run in own
        }
        results, weight = settings.run / "results", None
        if data["test"].schema.example_weight is not None:
            weight = np.load(results / "weight.npy")
        report["comparisons"] = deepfm_tf.metrics.compare_over_seeds(
            "base",
            ["best"],
            [run["seed"] for run in tested["base"]],
            np.load(results / "label.npy"),
            predictions,
            weight,
        )
        if deepfm_tf.metrics.is_better(
            report["comparisons"], "best", settings.monitor
        ):
            recommended = "best"
    report["recommended"] = recommended
    report["lead"] = lead(report)
    own_options = ["--trials", *(f"--{n.replace('_', '-')}s" for n in FACTORS)]
    structure = best if recommended == "best" else space.base
    report["next_step"] = f"train the {recommended} again and export it"
    report["next_command"] = next_command(
        settings, settings.model[0], own_options, structure.options
    )
    return report


def _write(settings: SweepSettings, report: dict[str, Any]) -> None:
    """The page, the table, the JSON and the plots, and a word on them."""
    report = without_nan(report)
    rows = deepfm_tf.report.structure_table(report["structure"])
    page = write_pages(Path(str(settings.report)), report, rows)
    print(f"\n{deepfm_tf.report.text_table(rows)}\n")
    print(f"{report['lead']}\n")
    print(
        f"Page: {page} (table, JSON and plots beside it)\n"
        f"Next, {report['next_step']}:\n    {report['next_command']}"
    )
