"""Which preset suits the data: all begin, and the better half goes on."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepfm_tf
from deepfm_tf.experiment.settings import Settings
from deepfm_tf.presets import CANDIDATES, PRESETS

# Of a run, with a folder for each preset.
FOLDER = "auto"
# Epochs after which the worse half is given up (successive halving, [Jamieson
# and Talwalkar, 2016](https://arxiv.org/abs/1502.07943)).
_RUNGS = (6, 12)
# Epochs that most trainings end within, for the time said beforehand.
_USUAL_EPOCHS = 10

# Trains with these settings up to their `epochs`, and returns the result.
Train = Callable[[Settings], Mapping[str, Any]]


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


def candidates(
    settings: Settings, name: str, train: deepfm_tf.PreparedData
) -> list[str]:
    """The presets that differ for a model, with the options that are given.

    Args:
        settings: the options.
        name: str. The model.
        train: the data to learn from.
    """
    chosen: dict[str, str] = {}
    for preset in CANDIDATES:
        found = settings.preset_for(name, train, preset)
        chosen.setdefault(repr(found), preset)
    return list(chosen.values())


def choose(
    settings: Settings,
    name: str,
    presets: Sequence[str],
    train: Train,
    say: Callable[[str], None] = print,
) -> tuple[Settings, list[Trial]]:
    """Train presets on the same data, and choose one by the validation data.

    Each begins; after 6 epochs, and again after 12, the worse half is given
    up. What is left ends as any training does.

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
    left = list(presets)
    for epochs in _ends(settings.epochs, len(presets)):
        for number, preset in enumerate(left, 1):
            own = _of(settings, preset, epochs)
            say(
                f"\n{name}, preset {preset} ({number} of {len(left)}), "
                f"up to epoch {epochs}"
            )
            begin = time.perf_counter()
            result = train(own)
            values = result["history"][f"val_{settings.monitor}"]
            times = result["history"]["train_seconds"]
            trials[preset] = Trial(
                preset,
                deepfm_tf.metrics.best_value(
                    [{settings.monitor: v} for v in values], settings.monitor
                ),
                result["epochs"],
                sum(times),
            )
            if len(trials) == 1 < len(presets):
                took = time.perf_counter() - begin
                say(_forecast(took, times, len(presets), settings.epochs))
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


def _forecast(
    seconds: float, times: Sequence[float], num_presets: int, most: int
) -> str:
    """What all will take, by what the first preset took up to its first end.

    Args:
        seconds: float. All of it.
        times: of the training alone, epoch by epoch.
        num_presets: int.
        most: int. Epochs allowed.
    """
    usual = statistics.median(times[1:] or times)
    fixed = max(0.0, seconds - usual * len(times))
    whole, before, left = 0.0, 0, num_presets
    for end in _ends(min(most, _USUAL_EPOCHS), num_presets):
        whole += left * (fixed + usual * (end - before))
        left, before = -(-left // 2), end
    shown = f"{whole / 60:.0f} min" if whole >= 120 else f"{whole:.0f} s"
    return f"The {num_presets} presets will take about {shown} in all."
