"""Files that come again, of days that a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from deepfm_tf.data.prepared.dataset import PreparedData
from deepfm_tf.data.preparing.inputs import Inputs
from deepfm_tf.vocabulary import Vocabulary


class TrainedAlreadyWarning(UserWarning):
    """All files of a further day are of days before.

    Args:
        names: str. The files.
    """

    def __init__(self, names: str) -> None:
        self.names = names
        super().__init__(
            f"The model was trained on {names} already, and the new day has "
            "no other file: the rows are trained on, and their values "
            "counted, once more. Name the files of a new day."
        )


def warn_of_same_day(inputs: Inputs, extends: Vocabulary) -> None:
    """Warn, before any work, where no file of a further day is new.

    Args:
        inputs: of that day.
        extends: the vocabulary of the days before.
    """
    known = _joined(extends.files_of_days)
    if known and inputs.are_all_among(known):
        warnings.warn(TrainedAlreadyWarning(_shown(inputs.paths)), stacklevel=4)


def warn_of_known_files(prepared: PreparedData, is_training: bool) -> None:
    """Warn of some files that the model was trained on on earlier days.

    Args:
        prepared: what has been prepared, of whole files if it is no training
            data.
        is_training: whether it is training data, some of which are new.
    """
    known = _joined(prepared.vocabulary.files_of_days[:-1])
    files = prepared.sources
    again = [path for digest, path in files.items() if digest in known]
    if not again:
        return
    told = f"The model was trained on {_shown(again)}"
    if not is_training:
        warnings.warn(
            f"{told}: the metrics measure how well it remembers rows, not how "
            "well it predicts new ones.",
            stacklevel=5,
        )
    elif len(again) < len(files):
        warnings.warn(
            f"{told} already: these of the {len(files):,} files of training "
            "data are trained on, and their values counted, once more.",
            stacklevel=5,
        )


def _shown(paths: Sequence[str]) -> str:
    """The first of some files, for a message."""
    more = len(paths) - 3
    names = ", ".join(path or "data in memory" for path in paths[:3])
    return names + (f" and {more:,} more" if more > 0 else "")


def _joined(days: Iterable[Sequence[str]]) -> set[str]:
    return {digest for day in days for digest in day}
