"""What `deepfm-tf train --auto` does, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import deepfm_tf
from deepfm_tf.errors import Argument, UserError, did_you_mean
from deepfm_tf.experiment.auto import Trial, choose, forget
from deepfm_tf.experiment.fitting.workers import check_alone
from deepfm_tf.experiment.options.recipe import OWN_FILES
from deepfm_tf.experiment.options.settings import MODELS, Settings
from deepfm_tf.presets import CANDIDATES


def train_best(
    train: deepfm_tf.PreparedData,
    valid: deepfm_tf.PreparedData,
    directory: str | Path,
    model: str = "DeepFM",
    *,
    presets: Sequence[str] = CANDIDATES,
    epochs: int = 30,
    seed: int = 1,
    strategy: Any = None,
) -> tuple[deepfm_tf.CTRModel, list[Trial]]:
    """Train a model with several presets; keep the best on validation data.

    Args:
        train, valid: prepared data.
        directory: where checkpoints go, a folder for each preset. What earlier
            calls left there is removed.
        model: str. `"DeepFM"`, `"FM"`, `"WideAndDeep"`, `"NFM"` or
            `"LogisticRegression"`.
        presets: names, of `deepfm_tf.presets.PRESETS`.
        epochs: int. At most.
        seed: int.
        strategy: of `deepfm_tf.create_strategy`. Defaults to all GPUs.

    Returns:
        The model, with its best weights; and what came of each preset, the
        best first.

    Raises:
        UserError: an unknown model or preset; no preset.
    """
    # Here, as it imports numpy, which `--help` must not wait for.
    from deepfm_tf.experiment.run import fit

    names = {kind: name for name, kind in MODELS.items()}
    if model not in names:
        raise UserError(
            Argument("model"),
            f" must be one of {', '.join(names)}. Received: ",
            Argument("model", model),
            f".{did_you_mean(model, names)}",
        )
    if not presets:
        raise UserError(
            Argument("presets"), " must name one at least. Received: none."
        )
    name = names[model]
    settings = Settings(
        recipe=OWN_FILES,
        train=[],
        label=train.schema.label,
        run=Path(directory),
        command_words=("train_best",),
        model=(name,),
        epochs=epochs,
        seed=seed,
    )
    for preset in presets:
        settings.preset_for(name, train, preset)  # an error, if there is none
    data = {"train": train, "valid": valid}
    strategy = strategy or deepfm_tf.create_strategy()
    check_alone("train_best", deepfm_tf.strategies.cluster_of(strategy))
    forget(settings, name)
    best, trials = choose(
        settings,
        name,
        list(presets),
        lambda own, end: fit(own, name, data, strategy, end_epoch=end)[1],
    )
    return fit(best, name, data, strategy)[0], trials
