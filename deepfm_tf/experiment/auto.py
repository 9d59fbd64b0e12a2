"""Which preset suits the data: all begin, and the better half goes on."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepfm_tf
from deepfm_tf.cluster import read_cluster
from deepfm_tf.experiment.command_line import words_of
from deepfm_tf.experiment.fitting.forecast import Forecast, duration
from deepfm_tf.experiment.options.settings import WITH_PYRAMID, Settings
from deepfm_tf.presets import CANDIDATES, PRESETS

# Of a run, with a folder for each preset.
FOLDER = "auto"
# Epochs after which the worse half is given up (successive halving, [Jamieson
# and Talwalkar, 2016](https://arxiv.org/abs/1502.07943)).
_RUNGS = (6, 12)

# Trains with these settings up to their `epochs`, calls the function at the
# end of each, and returns the result.
Train = Callable[[Settings, Callable[[], None]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A preset that was tried.

    Attributes:
        preset: str. Its name.
        value: float. The best so far on the validation data.
        epochs: float. Done so far.
        seconds: float. Of training, so far.
    """

    preset: str
    value: float
    epochs: float
    seconds: float


def improving_command(settings: Settings) -> str:
    """What trains the same models with all presets.

    Args:
        settings: the options of the run that has ended.

    Returns:
        The command; empty where the options leave it no choice.
    """
    if (
        settings.auto
        or settings.origin is not None
        or settings.preset != CANDIDATES[0]
        or settings.embeddings
        or read_cluster().num_workers > 1
        or not set(settings.model) & set(WITH_PYRAMID)
    ):
        return ""
    words = words_of(
        settings,
        auto=True,
        run=settings.run.with_name(f"{settings.run.name}-auto"),
        prepared=settings.prepared_folder,
    )
    return deepfm_tf.shell.command_line(*settings.recipe.command_words, *words)


def candidates(
    settings: Settings,
    name: str,
    train: deepfm_tf.PreparedData,
    say: Callable[[str], None] = print,
) -> list[str]:
    """The presets that differ for a model, with the options that are given.

    Args:
        settings: the options.
        name: str. The model.
        train: the data to learn from.
        say: told which do not differ.
    """
    alike: dict[str, list[str]] = {}
    for preset in CANDIDATES:
        found = settings.preset_for(name, train, preset)
        alike.setdefault(repr(found), []).append(preset)
    names = []
    for first, *others in alike.values():
        # `default` may be another one, which is then called by its own name.
        chosen = settings.preset_for(name, train, first).chosen
        own, _, why = chosen.partition(", ")
        names.append(own if own in others else first)
        if own in others:
            say(f"\n{name}: the preset {first} is {own} here, {why}.")
        elif others:
            say(
                f"\n{name}: the presets {', '.join([first, *others])} do not "
                f"differ here. Only {first} is trained."
            )
    return names


def choose(
    settings: Settings,
    name: str,
    presets: Sequence[str],
    train: Train,
    say: Callable[[str], None] = print,
) -> tuple[Settings, list[Trial]]:
    """Train presets on the same data, and choose one by the validation data.

    Each begins; after 6 epochs, and again after 12, the worse half is given
    up. What is left ends as any training does. The time of all is told as
    soon as it is known, and what is left of it before each further trial.

    Args:
        settings: the options; each preset has a folder in `run`.
        name: str. The model.
        presets: names.
        train: trains, or goes on where the same settings' folder left off.
        say: told what happens.

    Returns:
        The settings of the best, whose folder holds the trained model; and
        what came of each, the best first.
    """
    sign = -1 if settings.monitor == "auc" else 1
    trials: dict[str, Trial] = {}
    ended: set[str] = set()
    left = list(presets)
    ends = _ends(settings.epochs, len(presets))
    forecast = Forecast(ends)
    is_told = len(presets) == 1

    def end_epoch() -> None:
        nonlocal is_told
        forecast.end_epoch()
        seconds = None if is_told else forecast.seconds(0, presets)
        if seconds is not None:
            most = "at most " if forecast.is_bound else ""
            say(
                f"The {len(presets)} presets will take {most}about "
                f"{duration(seconds)} in all."
            )
            is_told = not forecast.is_bound

    for rung, epochs in enumerate(ends):
        # Patience may have ended some already.
        going_on = [preset for preset in left if preset not in ended]
        for number, preset in enumerate(going_on, 1):
            head = (
                f"\n{name}, preset {preset} ({number} of {len(going_on)}), "
                f"up to epoch {epochs}"
            )
            rest = forecast.seconds(rung, going_on[number - 1 :])
            if rest is not None:
                head += f", about {duration(rest)} left"
                is_told = True
            say(head)
            forecast.begin(preset)
            result = train(_of(settings, preset, epochs), end_epoch)
            values = result["history"][f"val_{settings.monitor}"]
            trials[preset] = Trial(
                preset,
                deepfm_tf.metrics.best_value(
                    [{settings.monitor: v} for v in values], settings.monitor
                ),
                result["epochs"],
                sum(result["history"]["train_seconds"]),
            )
            if result["ended"]:
                ended.add(preset)
        left.sort(key=lambda preset: sign * trials[preset].value)
        if epochs != settings.epochs:
            left = left[: -(-len(left) // 2)]
    best = left[0]
    ranked = sorted(
        trials.values(), key=lambda t: (t.preset != best, sign * t.value)
    )
    return _of(settings, best, settings.epochs), ranked


def told(model: str, trials: Sequence[Trial], monitor: str = "log_loss") -> str:
    """A sentence on what was tried.

    Args:
        model: str.
        trials: the best first.
        monitor: `"log_loss"` or `"auc"`, of the validation data.

    Example:

    >>> trials = [Trial("strong", 0.27, 9, 60.0), Trial("default", 0.28, 3, 9)]
    >>> told("deepfm", trials)
    'deepfm: of 2 presets strong is best by validation log loss (strong \
0.2700 in 9 epochs, default 0.2800 in 3).'
    """
    title = deepfm_tf.metrics.METRIC_TITLES[monitor]
    first, *others = trials
    texts = [f"{first.preset} {first.value:.4f} in {first.epochs:g} epochs"]
    texts += [f"{t.preset} {t.value:.4f} in {t.epochs:g}" for t in others]
    return (
        f"{model}: of {len(trials)} presets {first.preset} is best by "
        f"validation {title} ({', '.join(texts)})."
    )


def forget(settings: Settings, name: str) -> None:
    """Remove what earlier trials left, unless they are gone on with.

    Args:
        settings: the options.
        name: str. The model.
    """
    if not settings.resume:
        for preset in PRESETS:
            folder = settings.run / FOLDER / preset / name
            shutil.rmtree(folder, ignore_errors=True)


def _of(settings: Settings, preset: str, epochs: int) -> Settings:
    again = () if settings.resume else ("--resume",)
    return dataclasses.replace(
        settings,
        preset=preset,
        epochs=min(epochs, settings.epochs),
        run=settings.run / FOLDER / preset,
        auto=False,
        resume=True,
        arguments=(*settings.arguments, *again),
    )


def _ends(epochs: int, num_presets: int) -> list[int]:
    """The epochs up to which those that are left are trained."""
    rungs = [e for e in _RUNGS if e < epochs] if num_presets > 1 else []
    return [*rungs, epochs]
