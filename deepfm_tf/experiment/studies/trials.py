"""Runs of one model with many structures, each of them kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepfm_tf
from deepfm_tf.experiment.data import evaluation_dataset
from deepfm_tf.experiment.fitting.training import steps_between
from deepfm_tf.experiment.options.settings import Settings
from deepfm_tf.experiment.options.structures import Structure
from deepfm_tf.experiment.run import fit
from deepfm_tf.experiment.run_folder.files import writing
from deepfm_tf.experiment.studies.kept_runs import (
    RESUME_HINT,
    load_result,
    save_result,
    time_left,
    train_and_test,
)


class WatchedCurve(deepfm_tf.callbacks.LearningCurve):
    """A learning curve that somebody watches, and may call off the training.

    Args:
        dataset: of the validation data.
        every: int. Steps between two points.
        path: file that keeps the points.
        metric: `"log_loss"` or `"auc"`.
        is_hopeless: told each step and value; whether to stop there. None
            never stops.

    Attributes:
        stopped: whether it came to that.
    """

    def __init__(
        self,
        dataset: Any,
        every: int,
        path: Path,
        metric: str,
        is_hopeless: Callable[[int, float], bool] | None = None,
    ) -> None:
        super().__init__(dataset, every, path)
        self.metric = metric
        self.is_hopeless = is_hopeless
        self.stopped = False
        self._told = 0

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Add the end of the epoch, and tell it."""
        super().on_epoch_end(epoch, logs)
        if self.is_hopeless is None:
            return
        # A resumed run tells the points of its first part too.
        for point in self.points[self._told :]:
            # Optuna answers with a bool of NumPy's, which is none for JSON.
            if self.is_hopeless(point["step"], point[self.metric]):
                self.stopped = True
        self._told = len(self.points)
        if self.stopped:
            self.model.stop_training = True


class Trials:
    """Trains structures, or finds them finished, and says so.

    Args:
        settings: the options.
        data: by part.
        strategy: of `deepfm_tf.create_strategy`.
        total: int. How many runs there will be.

    Attributes:
        finished: results by the name of their structure, of the first seed:
            what `fit` gives, `seed`, `curve`, `pruned`, `structure` and
            `value`, the best on the validation data.
    """

    def __init__(
        self,
        settings: Settings,
        data: dict[str, deepfm_tf.PreparedData],
        strategy: Any,
        total: int,
    ) -> None:
        self.settings = settings
        self.data = data
        self.strategy = strategy
        self.total = total
        self.finished: dict[str, dict[str, Any]] = {}
        preset = settings.preset_for(settings.model[0], data["train"])
        self.every = steps_between(settings, preset, data["train"])
        self._valid = evaluation_dataset(
            data["valid"], settings.evaluation_batch_size
        )
        self._number = 0
        self._trained: list[dict[str, Any]] = []

    @property
    def best(self) -> str:
        """The name of the best finished structure."""
        sign = -1 if self.settings.monitor == "auc" else 1
        values = {
            name: sign * run["value"]
            for name, run in self.finished.items()
            if not run["pruned"]
        }
        return min(values, key=lambda name: values[name])

    def run(
        self,
        what: str,
        structure: Structure,
        seed: int,
        is_tested: bool = False,
        is_hopeless: Callable[[int, float], bool] | None = None,
    ) -> dict[str, Any]:
        """One run's result.

        Args:
            what: str. Said of it.
            structure: the Structure.
            seed: int.
            is_tested: bool. Evaluate it on the test data too.
            is_hopeless: as of `WatchedCurve`.
        """
        path = self.path(structure, seed, is_tested)
        self._number += 1
        head = f"[{self._number}/{self.total}] {what}: {structure.name}"
        if path.is_file():
            print(f"{head}: kept")
        else:
            left = [self.settings.model[0]] * (self.total - self._number + 1)
            print(f"\n{head}{time_left(self._trained, left)}")
            self._train(structure, seed, path, is_tested, is_hopeless)
            self._trained.append(load_result(path))
        result = load_result(path)
        result.setdefault("pruned", False)
        result["value"] = deepfm_tf.metrics.best_value(
            result["curve"], self.settings.monitor
        )
        result["structure"] = dataclasses.asdict(structure)
        if seed == self.settings.seed:
            self.finished.setdefault(structure.name, result)
            self.forget(but=self.best)
        print(self._line(result))
        return result

    def forget(self, but: str | None = None) -> None:
        """Remove the checkpoints of finished trials.

        Args:
            but: the one that is to be tested, if it stays the best.
        """
        for name, run in self.finished.items():
            if name != but:
                structure = Structure(**run["structure"])
                folder = self._folder(structure, run["seed"], False)
                deepfm_tf.callbacks.drop_checkpoints(
                    folder / self.settings.model[0]
                )

    def path(self, structure: Structure, seed: int, is_tested: bool) -> Path:
        """Where a result is kept."""
        folder = self._folder(structure, seed, is_tested)
        return (
            self.settings.run
            / "results"
            / f"{'-'.join(folder.parts[-2:])}.json"
        )

    def _folder(self, structure: Structure, seed: int, is_tested: bool) -> Path:
        name = structure.name.replace(", ", "_").replace(" ", "-")
        kind = "tested" if is_tested else "trials"
        return self.settings.run / kind / f"{name}-seed-{seed}"

    def _train(
        self,
        structure: Structure,
        seed: int,
        path: Path,
        is_tested: bool,
        is_hopeless: Callable[[int, float], bool] | None,
    ) -> None:
        begin = time.perf_counter()
        own = dataclasses.replace(
            self.settings,
            seed=seed,
            run=self._folder(structure, seed, is_tested),
            **structure.settings(),
        )
        (name,) = own.model
        seconds = None
        if is_tested and self._has_model(structure, seed):
            # Its checkpoint says that no epoch is left to do.
            own.run, own.resume = self._folder(structure, seed, False), True
            seconds = load_result(self.path(structure, seed, False))["seconds"]
        curve = WatchedCurve(
            self._valid,
            self.every,
            own.run / name / "curve.json",
            own.monitor,
            is_hopeless,
        )
        if is_tested:
            train_and_test(
                *(own, name, self.data, self.strategy, curve, path, False),
                seconds,
            )
            return
        _, result = fit(own, name, self.data, self.strategy, curve)
        result |= {"seed": seed, "curve": curve.points, "pruned": curve.stopped}
        with writing(path.parent, RESUME_HINT):
            save_result(result, path, begin)

    def _has_model(self, structure: Structure, seed: int) -> bool:
        """Whether the same run is a finished trial, and its model is there."""
        folder = self._folder(structure, seed, False) / self.settings.model[0]
        is_finished = self.path(structure, seed, False).is_file()
        return is_finished and any(folder.glob("epoch-*"))

    def _line(self, result: dict[str, Any]) -> str:
        title = deepfm_tf.metrics.METRIC_TITLES[self.settings.monitor]
        text = f"  {result['seconds']:.1f} s, {result['epochs']:g} epochs, "
        text += f"validation {title} {result['value']:.4f}"
        if result["pruned"]:
            text += ", stopped early: worse than most others at that point"
        # The best is that of one seed: what changes is the structure.
        if result["seed"] == self.settings.seed:
            value = self.finished[self.best]["value"]
            text += f"; best so far {value:.4f}"
        return text
