"""The options that say what a run goes on with: the model of earlier days."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from deepfm_tf.experiment.options.arguments import path, positive_int
from deepfm_tf.experiment.options.data_settings import DataSettings
from deepfm_tf.experiment.run_folder.origin import Origin
from deepfm_tf.options import option, switch

if TYPE_CHECKING:
    from deepfm_tf import Schema, Vocabulary

# The names of the options here.
CONTINUE = ("continue_from", "evict_below", "evict_unseen", "out_of_order")

_training = functools.partial(option, group="training")


@dataclasses.dataclass(kw_only=True)
class ContinueSettings(DataSettings):
    """What a run goes on with."""

    continue_from: Path | None = _training(
        None,
        "continue the training of a model: the folder of its run, such as "
        "runs/yesterday/deepfm, or an export, such as saved_models/clicks/3. "
        "Its fields and options stay the same; new values in --train are "
        "added to its vocabulary",
        path,
        "DIR",
        decides="training",
    )
    evict_below: int | None = _training(
        None,
        "with --continue-from, first remove values whose count is below N; "
        "each continuation reduces earlier counts by a tenth",
        positive_int,
        "N",
        default_text="none",
        decides="training",
    )
    evict_unseen: int | None = _training(
        None,
        "with --continue-from, first remove values that did not occur in the "
        "last DAYS continuations",
        positive_int,
        "DAYS",
        default_text="none",
        decides="training",
    )

    out_of_order: bool = switch(
        "with --continue-from, also accept files that the model was already "
        "trained on, and replace a newest version of --export that was "
        "trained on later files",
        group="training",
    )

    @functools.cached_property
    def origin(self) -> Origin | None:
        """What is gone on with; None without `--continue-from`."""
        if self.continue_from is None:
            return None
        return Origin.of(self.continue_from)

    @functools.cached_property
    def extends(self) -> Vocabulary | None:
        """The vocabulary that the training data extend, if there is one."""
        if self.origin is None:
            return None
        vocabulary = self.origin.vocabulary
        if self.evict_below or self.evict_unseen:
            vocabulary = vocabulary.evict(
                self.evict_below or 1, self.evict_unseen
            )
        return vocabulary

    @property
    def fixed_schema(self) -> Schema | None:
        """That of the model that is gone on with, else of the data set."""
        if self.origin is None:
            return super().fixed_schema
        return self.origin.vocabulary.schema
