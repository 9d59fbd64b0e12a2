"""The files that a model was trained on, of all days: none comes twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import deepfm_tf
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.origin import TRAINED_FILE, Origin, versions_in
from deepfm_tf.experiment.training import say_warning
from deepfm_tf.storage import write_text

if TYPE_CHECKING:
    from deepfm_tf.experiment.settings import Settings

# Some megabytes of digests, and years of most logs.
_MOST = 100_000


def digests_of(settings: Settings, train: deepfm_tf.PreparedData) -> list[str]:
    """Those of all files that a model will have been trained on.

    Args:
        settings: the options.
        train: the data that it is trained on now.
    """
    origin, now = settings.origin, list(train.sources)
    before = [] if origin is None else origin.trained_files
    return [d for d in before if d not in train.sources][-_MOST:] + now


def write(
    settings: Settings, train: deepfm_tf.PreparedData, directory: Path
) -> None:
    """Keep them beside a model, for the run that goes on with it.

    Args:
        settings, train: as of `digests_of`.
        directory: of the model.
    """
    text = json.dumps(digests_of(settings, train), indent=1)
    write_text(directory / TRAINED_FILE, text)


def check(settings: Settings, data: dict[str, deepfm_tf.PreparedData]) -> None:
    """Raise UserError where a day comes twice, or after a later one.

    It is warned of files that come twice beside new ones, as where each day is
    trained on with those before it.

    Args:
        settings: the options.
        data: by part.
    """
    origin = settings.origin
    if origin is None:
        return
    told = f"--continue-from {settings.continue_from}"
    known = set(origin.trained_files)
    for part in ("train", "valid", "test"):
        files = data[part].sources
        again = [path for digest, path in files.items() if digest in known]
        if part != "train" and getattr(settings, part) is None or not again:
            continue
        names = _shown(again)
        if part != "train":
            say_warning(
                f"the model of {told} was trained on {names} of --{part}: "
                "the metrics measure how well it remembers rows, not how "
                "well it predicts new ones."
            )
        elif len(again) < len(files):
            say_warning(
                f"the model of {told} was trained on {names} already: of the "
                f"{len(files):,} files of --train these are trained on, and "
                "their values counted, once more."
            )
        elif not settings.out_of_order:
            raise UserError(
                f"--train must have a file that the model of {told} was not "
                f"trained on. Received: {names} alone, which it was. Name the "
                "files of a new day, or train on them once more with "
                "--out-of-order."
            )
    if settings.export is not None and not settings.out_of_order:
        _check_newest(settings, told, {*known, *data["train"].sources})


def _check_newest(settings: Settings, told: str, known: set[str]) -> None:
    """An older model must not become the newest version unasked."""
    versions = versions_in(Path(str(settings.export)))
    if not versions:
        return
    newest = versions[-1]
    trained = Origin.of(newest).trained_files
    if trained and trained[-1] not in known:
        raise UserError(
            f"The newest version, {newest}, must not have been trained on "
            f"later files than the model of {told} and --train: a server would "
            "then go back to an older model. Received: one that was. Go on "
            "with that version or its run, export elsewhere with --export, or "
            "replace it with --out-of-order."
        )


def _shown(paths: Sequence[str]) -> str:
    more = len(paths) - 3
    return ", ".join(paths[:3]) + (f" and {more:,} more" if more > 0 else "")
