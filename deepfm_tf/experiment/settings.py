"""The options of an experiment."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deepfm_tf import shell

if TYPE_CHECKING:
    import pandas as pd

    from deepfm_tf import PreparedData, Schema, TextFormat

# What decides the course of the training.
_DECISIVE = (
    "embedding_dim",
    "hidden_units",
    "dropout",
    "batch_norm",
    "optimizer",
    "mixed_bfloat16",
    "learning_rate",
    "batch_size",
    "patience",
    "monitor",
    "seed",
    "activation",
    "embedding_init",
    "embedding_l2",
    "l2_mode",
    "clip_norm",
    "reduce_lr",
    "negative_sampling",
    "evaluate_every",
)


@dataclasses.dataclass
class Settings:
    """An experiment's options: those of the command line, where they are told.

    Args:
        name: str. What the experiment is called.
        command_words: what the user typed before the options.
        training_words: what trains one model on the same data.
        arguments: the options as they were typed.
        text_format, fixed_schema, derive: of the data set.
    """

    # Whether `--report` names a folder.
    report_is_folder: ClassVar[bool] = False
    name: str
    command_words: tuple[str, ...]
    training_words: tuple[str, ...]
    arguments: tuple[str, ...]
    text_format: TextFormat
    fixed_schema: Schema | None
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None
    train: list[str]
    valid: list[str] | None
    test: list[str] | None
    label: str
    positive_label: list[str] | None
    negative_label: list[str] | None
    missing: list[str]
    example_weight: str | None
    categorical: tuple[str, ...]
    ignore: tuple[str, ...]
    schema_file: str | None
    split_by_time: str | None
    on_error: str
    model: tuple[str, ...]
    embedding_dim: int
    hidden_units: tuple[int, ...]
    dropout: float
    batch_norm: bool
    activation: str
    embedding_init: str
    optimizer: str
    mixed_bfloat16: bool
    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    monitor: str
    embedding_l2: float | None
    l2_mode: str | None
    clip_norm: float | None
    reduce_lr: bool
    negative_sampling: float
    evaluate_every: int | None
    seed: int
    replicas: int | None
    run: Path
    prepared: Path | None
    resume: bool
    tensorboard: bool
    export: Path | None
    context_fields: tuple[str, ...]
    keep_versions: int | None
    table_dtype: str | None
    explain: bool
    calibration: str | None
    warm_up_rows: tuple[int, ...] | None
    no_rank_warm_up: bool
    slice_by: tuple[str, ...]
    group_by: str | None
    report: Path | None

    def command(self, resume: bool = False) -> str:
        """The command that was typed, or the one that goes on with it."""
        words = [*self.command_words, *self.arguments]
        if resume and not self.resume:
            words.append("--resume")
        return shell.command_line(*words)

    def fingerprint(self, data: dict[str, PreparedData]) -> str:
        """A digest of all that decides the course of the training."""
        values = [str(getattr(self, name)) for name in _DECISIVE]
        values += [part.fingerprint for part in data.values()]
        return hashlib.blake2b(
            "\n".join(values).encode(), digest_size=16
        ).hexdigest()

    def results_fingerprint(self, data: dict[str, PreparedData]) -> str:
        """The same, of all that decides the results of a training."""
        values = [self.fingerprint(data), str(self.epochs)]
        if self.group_by is not None:  # whose GAUC is among them
            values.append(repr(self.group_by))
        return " ".join(values)
