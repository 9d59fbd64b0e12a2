"""A data set that a command is about: one of a recipe, or the user's own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from deepfm_tf import Schema, TextFormat
    from deepfm_tf.options import Option


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a data set adds to the command line.

    Args:
        name: str. Names the folder of its runs.
        command_words: what trains on it: all that is typed before options.
        description: str. Said by `--help`; `{command}` becomes the command as
            one would type it.
        label: str or None. The label column, where the data set fixes it.
        schema: the Schema, or a function of `--min-count`, or None to infer.
        text_format: layout of the text files, where the data set fixes it.
        derive: turns a chunk of raw rows (all text) into the rows to learn
            from, where columns must be made first.
        defaults: other defaults for options.
    """

    name: str
    command_words: tuple[str, ...]
    description: str
    label: str | None = None
    schema: Callable[[int], Schema] | None = None
    text_format: TextFormat | None = None
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    defaults: dict[str, object] = dataclasses.field(default_factory=dict)

    def offers(self, declared: Option) -> bool:
        """Whether an option means anything for this data set."""
        if declared.fixed_by and getattr(self, declared.fixed_by) is not None:
            return False
        return not declared.needs or getattr(self, declared.needs) is not None


# Any file of the user's own.
OWN_FILES = Recipe(
    name="train",
    command_words=("deepfm-tf", "train"),
    description="""\
Train click models on your own file, and compare them.

    {command} --train clicks.csv --label clicked \\
        --model logistic_regression,fm,deepfm --export saved_models/clicks
""",
)
