"""The export at the end of an experiment, and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepfm_tf

if TYPE_CHECKING:
    from pipelines.experiment import Settings

# Validation rows, about, that make the mean that `explain` starts from.
_BACKGROUND_ROWS = 100_000


def check_options(settings: Settings, schema: deepfm_tf.Schema) -> None:
    """Raise ValueError now for what the export would refuse after training.

    Args:
        settings: the options.
        schema: the Schema of the data.
    """
    names = {schema.field(name).name for name in settings.context_fields}
    if len(names) == len(schema.fields):
        raise ValueError(
            "--context-fields must leave at least one field to the "
            f"candidates. Received: all of {', '.join(sorted(names))}."
        )
    given = [
        option
        for option, value in (
            ("--context-fields", settings.context_fields),
            ("--keep-versions", settings.keep_versions),
            ("--table-dtype", settings.table_dtype),
            ("--explain", settings.explain),
        )
        if value
    ]
    if given and settings.export is None:
        raise ValueError(
            f"{', '.join(given)} must come with --export, which says where "
            "the model goes."
        )
    if settings.explain and settings.table_dtype:
        raise ValueError(
            "--explain explains the model with its table as trained, so its "
            "terms would not add up with --table-dtype. Leave one of the two "
            "out."
        )


def export(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    data: dict[str, deepfm_tf.PreparedData],
    result: dict[str, Any],
) -> Path:
    """Export a model, and say where it is and what it has become.

    Args:
        settings: the options; `export` is given.
        model: the model.
        data: the prepared data.
        result: what `experiment` found out about the model.
    """
    begin = time.perf_counter()
    path = deepfm_tf.export_saved_model(
        model,
        data["train"].vocabulary,
        str(settings.export),
        context_fields=settings.context_fields,
        keep_versions=settings.keep_versions,
        table_dtype=settings.table_dtype,
        evaluation_data=data["test"].dataset(settings.batch_size)
        if settings.table_dtype
        else None,
        explainer=_explainer(settings, model, data["valid"]),
        metrics=result["test"],
        data_fingerprint=data["train"].fingerprint,
    )
    seconds = time.perf_counter() - begin
    print(
        f"Exported {result['model']} to {path} in {seconds:.1f} s. Look at it "
        f"with:\n    .venv/bin/saved_model_cli show --dir {path} --all"
    )
    if settings.table_dtype:
        card = path / "assets.extra" / "model_card.json"
        table = json.loads(card.read_text(encoding="utf-8"))["table"]
        print(
            f"With its table in {table['dtype']} the test log loss is "
            f"{table['log_loss']:.6f}, a change of "
            f"{table['log_loss_change']:+.1e}; the probabilities moved by "
            f"{table['largest_difference']:.1e} at most."
        )
    return path


def _explainer(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    valid: deepfm_tf.PreparedData,
) -> deepfm_tf.Explainer | None:
    if not settings.explain:
        return None
    batches = -(-_BACKGROUND_ROWS // settings.batch_size)
    return deepfm_tf.Explainer(
        model, valid.dataset(settings.batch_size).take(batches)
    )
