"""The files that a model was trained on, of all days: none comes twice."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepfm_tf
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.run_folder.origin import (
    TRAINED_FILE,
    Origin,
    versions_in,
)
from deepfm_tf.storage import write_text

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

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


@contextlib.contextmanager
def refusing_same_day(settings: Settings) -> Iterator[None]:
    """Raise UserError where `prepare` finds no file that is new.

    Args:
        settings: the options.
    """
    with warnings.catch_warnings():
        action: Any = "ignore" if settings.out_of_order else "error"
        warnings.simplefilter(action, deepfm_tf.data.TrainedAlreadyWarning)
        try:
            yield
        except deepfm_tf.data.TrainedAlreadyWarning as again:
            raise UserError(
                f"--train must have a file that the model of {_told(settings)} "
                f"was not trained on. Received: {again.names} alone, which it "
                "was. Name the files of a new day, or train on them once more "
                "with --out-of-order."
            ) from None


def check_newest(
    settings: Settings, digests: Callable[[], Iterable[str]]
) -> None:
    """Raise UserError where an older model would be the newest version.

    Args:
        settings: the options.
        digests: gives those of the files of --train. Called where the model
            was not trained on the last file of that version.
    """
    origin = settings.origin
    if origin is None or settings.export is None or settings.out_of_order:
        return
    versions = versions_in(Path(str(settings.export)))
    if not versions:
        return
    newest = versions[-1]
    last = Origin.of(newest).trained_files[-1:]
    if set(last) <= set(origin.trained_files) or set(last) <= set(digests()):
        return
    raise UserError(
        f"The newest version, {newest}, must not have been trained on later "
        f"files than the model of {_told(settings)} and --train: a server "
        "would then go back to an older model. Received: one that was. Go on "
        "with that version or its run, export elsewhere with --export, or "
        "replace it with --out-of-order."
    )


def _told(settings: Settings) -> str:
    return f"--continue-from {settings.continue_from}"
