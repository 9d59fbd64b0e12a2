"""What a model says of a new day's data before it is trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import deepfm_tf
from deepfm_tf.arrays import Array
from deepfm_tf.storage import write_text

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

_FILE = "before.json"


def before_training(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    data: Mapping[str, deepfm_tf.PreparedData],
    directory: Path,
) -> dict[str, Any] | None:
    """What a model says of the new data, before it is trained on them.

    Progressive validation: each row is first predicted, then learnt from, so
    that the metrics are those of a model in service. It is measured once:
    resumed, a run has been trained on them.

    Args:
        settings: the options.
        model: grown, and not trained further.
        data: by part.
        directory: where the result is kept.

    Returns:
        The metrics of `all` rows and of those of `test`; None of a model that
        goes on with nothing.
    """
    if settings.origin is None:
        return None
    path = directory / _FILE
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    parts = {
        name: _rows(model, part, settings.evaluation_batch_size)
        for name, part in data.items()
    }
    together = [np.concatenate(c) for c in zip(*parts.values(), strict=True)]
    found: dict[str, Any] = {
        "all": deepfm_tf.metrics.binary_metrics(*together),
        "test": deepfm_tf.metrics.binary_metrics(*parts["test"]),
    }
    write_text(path, json.dumps(found))
    metrics = found["all"]
    print(
        f"Before it is trained on them, the model of {settings.origin.path} "
        f"has a log loss of {metrics['log_loss']:.4f} and an AUC of "
        f"{metrics['auc']:.4f} on all {metrics['rows']:,} new rows."
    )
    return found


def told(settings: Settings, result: Mapping[str, Any]) -> str:
    """A sentence on what a further day has brought.

    Args:
        settings: the options.
        result: of the model.
    """
    before, after = result["before"], result["test"]["log_loss"]
    text = (
        f"{result['model']} continues {settings.continue_from}. Log loss "
        f"{before['all']['log_loss']:.4f} on all {before['all']['rows']:,} "
        "new rows before it was trained on them; on the test rows "
        f"{before['test']['log_loss']:.4f} before and {after:.4f} after."
    )
    if after > before["test"]["log_loss"]:
        text += (
            " It is worse on the test rows than before: check the new rows, "
            "or give --epochs 1 or a smaller --learning-rate."
        )
    return text


def _rows(
    model: deepfm_tf.CTRModel, part: deepfm_tf.PreparedData, batch_size: int
) -> tuple[Array, Array, Array]:
    """Label, probability and weight of a part's rows."""
    label, probability, weight = deepfm_tf.evaluation.predict_with_weights(
        model, part.dataset(batch_size)
    )
    if weight is None:
        weight = np.ones_like(label)
    # Each negative that was kept stands for those that were left out.
    share = np.float32(part.negative_sampling)
    return label, probability, np.where(label == 0, weight / share, weight)
