"""The export at the end of an experiment, and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepfm_tf
from deepfm_tf.experiment.fitting.trained_files import digests_of
from deepfm_tf.experiment.options.export_settings import ExportSettings
from deepfm_tf.experiment.options.settings import LAZY_OPTIMIZERS
from deepfm_tf.experiment.report import check_extra
from deepfm_tf.options import options_of

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

# Validation rows, about, that make the mean that `explain` starts from.
_BACKGROUND_ROWS = 100_000


def given_options(settings: Settings) -> list[str]:
    """Those of an export that were given."""
    return [
        declared.flag
        for name, declared in options_of(ExportSettings).items()
        if getattr(settings, name)
    ]


def check_options(settings: Settings) -> None:
    """Raise UserError now for what the export would refuse after training.

    Args:
        settings: the options.
    """
    given = [o for o in given_options(settings) if o != "--calibration"]
    if given and settings.export is None:
        raise deepfm_tf.UserError(
            f"{', '.join(given)} must come with --export, which says where "
            "the model goes."
        )
    if settings.no_rank_warm_up and not settings.context_fields:
        raise deepfm_tf.UserError(
            "--no-rank-warm-up must come with --context-fields, without which "
            "there is no signature rank. Leave it out."
        )
    if settings.explain and settings.table_dtype:
        raise deepfm_tf.UserError(
            "--explain explains the model with its table as trained, so its "
            "terms would not add up with --table-dtype. Leave one of the two "
            "out."
        )
    if settings.explain and settings.prune_untrained:
        raise deepfm_tf.UserError(
            "--explain explains the model with all of its rows, so it cannot "
            "be combined with --prune-untrained. Leave one of the two out."
        )
    if settings.prune_untrained and settings.optimizer not in LAZY_OPTIMIZERS:
        raise deepfm_tf.UserError(
            "--prune-untrained must come with an optimizer that knows which "
            f"rows it has updated: {', '.join(LAZY_OPTIMIZERS)}. Received: "
            f"--optimizer {settings.optimizer}."
        )
    if settings.prune_untrained and _has_encodings(settings):
        raise deepfm_tf.UserError(
            "--prune-untrained cannot be combined with --encodings, which "
            "hold numbers for all values. Leave one of the two out."
        )
    if settings.calibration is None:
        return
    if settings.export is None and settings.report is None:
        raise deepfm_tf.UserError(
            "--calibration must come with --export, which it becomes a part "
            "of, or with --report, which shows what it would change."
        )
    check_extra("--calibration is fitted", "calibration")


def check_context(settings: Settings, schema: deepfm_tf.Schema) -> None:
    """Raise UserError unless `--context-fields` are some of the fields.

    Args:
        settings: the options.
        schema: the Schema of the data.
    """
    names = {schema.field(name).name for name in settings.context_fields}
    if len(names) == len(schema.fields):
        raise deepfm_tf.UserError(
            "--context-fields must leave at least one field to the "
            f"candidates. Received: all of {', '.join(sorted(names))}."
        )


def _has_encodings(settings: Settings) -> bool:
    """Whether fields will have `encodings`, as far as options tell."""
    schema = settings.fixed_schema
    if schema is None and settings.schema_file is not None:
        # Here, as that module imports pandas, which `--help` must not.
        from deepfm_tf.experiment.inputs import load_schema

        schema = load_schema(settings.schema_file)
    fields = () if schema is None else schema.fields
    return bool(settings.encodings) or any(f.encodings for f in fields)


def export(
    settings: Settings,
    model: deepfm_tf.CTRModel,
    data: dict[str, deepfm_tf.PreparedData],
    result: dict[str, Any],
    calibration: deepfm_tf.calibration.Calibration | None = None,
) -> Path:
    """Export a model, and say where it is and what it has become.

    Args:
        settings: the options; `export` is given.
        model: the model.
        data: the prepared data.
        result: what `experiment` found out about the model.
        calibration: to export with it. Optional.
    """
    metrics = result["test"]
    if calibration is not None:
        after = result["calibration"]["test"]
        metrics = {**after, "before_calibration": metrics}
    warm_up: dict[str, Any] = {"warm_up_rank": not settings.no_rank_warm_up}
    if settings.warm_up_rows:
        warm_up["warm_up_rows"] = settings.warm_up_rows
    begin = time.perf_counter()
    path = deepfm_tf.export_saved_model(
        model,
        data["train"].vocabulary,
        str(settings.export),
        context_fields=settings.context_fields,
        keep_versions=settings.keep_versions,
        table_dtype=settings.table_dtype,
        prune_untrained=settings.prune_untrained,
        calibration=calibration,
        evaluation_data=data["test"].dataset(settings.evaluation_batch_size)
        if settings.table_dtype
        else None,
        explainer=_explainer(settings, model, data["valid"]),
        metrics=metrics,
        data_fingerprint=data["train"].fingerprint,
        trained_files=digests_of(settings, data["train"]),
        **warm_up,
    )
    seconds = time.perf_counter() - begin
    what = [result["model"]]
    if calibration is not None:
        what.append(f"with its calibration ({calibration.method})")
    if len(settings.model) > 1:
        what.append(f"the best on the validation data ({settings.monitor})")
    comma = "," if len(what) > 1 else ""
    look = deepfm_tf.shell.command_line(
        "saved_model_cli", "show", "--dir", str(path), "--all"
    )
    print(
        f"Exported {', '.join(what)}{comma} to {path} in {seconds:.1f} s. "
        f"Look at it with:\n    {look}"
    )
    serve = deepfm_tf.shell.command_line(
        *("deepfm-tf", "serve", f"--model_name={path.parent.name}"),
        *(f"--model_base_path={path.parent}", "--rest_api_port=8501"),
    )
    print(f"Serve it with:\n    {serve}")
    if not (settings.prune_untrained or settings.table_dtype):
        return path
    file = path / "assets.extra" / "model_card.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    if settings.prune_untrained:
        rows = sum(model.schema.vocabulary_sizes)
        left = sum(card["vocabulary_sizes"].values())
        print(
            f"{rows - left:,} of the {rows:,} rows of its table were never "
            "trained, and are left out."
            if left < rows
            else f"All {rows:,} rows of its table were trained: none is left "
            "out."
        )
    if settings.table_dtype:
        table = card["table"]
        print(
            f"With its table in {table['dtype']} the test log loss is "
            f"{table['log_loss']:.6f}, a change of "
            f"{table['log_loss_change']:+.1e}; the probabilities changed by "
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
    batches = -(-_BACKGROUND_ROWS // settings.evaluation_batch_size)
    return deepfm_tf.Explainer(
        model, valid.dataset(settings.evaluation_batch_size).take(batches)
    )
