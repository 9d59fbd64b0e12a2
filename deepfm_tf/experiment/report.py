"""The results of an experiment as JSON and as a page."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepfm_tf
from deepfm_tf import extras
from deepfm_tf.experiment.fitting.training import steps_between
from deepfm_tf.storage import write_text

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

# Columns that a terminal has no room for.
_PAGE_ONLY = ("calibration", "calibration error")


def check_report(settings: Settings) -> None:
    """Raise UserError now for what would fail after training.

    Args:
        settings: the options.
    """
    if settings.report is None:
        if settings.slice_by:
            raise deepfm_tf.UserError(
                "--slice-by must come with --report, which says where the "
                "metrics of the slices go."
            )
    elif settings.report.suffix == ".html":
        check_plots(f"--report {settings.report}")


def check_plots(what: str) -> None:
    """Raise UserError if there is no matplotlib."""
    check_extra(f"{what} draws plots", "plots")


def check_extra(why: str, extra: str) -> None:
    """Raise UserError if a package of an extra is not installed."""
    if extras.missing(extra):
        raise deepfm_tf.UserError(
            extras.install_hint(f"{why}, which needs", extra)
        )


def write_report(
    settings: Settings,
    data: dict[str, deepfm_tf.PreparedData],
    results: list[dict[str, Any]],
    conclusions: Mapping[str, Any],
) -> None:
    """Write what was done, on which data, and what came out.

    Args:
        settings: the options; `report` is given.
        data: by part.
        results: of each model, with `insight`.
        conclusions: of `conclude`.
    """
    path = Path(str(settings.report))
    results = [with_curve(settings, data, result) for result in results]
    report = report_content(settings, data, results) | dict(conclusions)
    page = path if path.suffix == ".html" else None
    path = path if page is None else page.with_suffix(".json")
    write_json(path, report)
    print(f"Report: {path}")
    if page is not None:
        text = deepfm_tf.report.html_report(without_nan(report))
        write_text(page, text)
        print(f"Page: {page}")


def results_text(
    summary: Sequence[deepfm_tf.report.SummaryRow], findings: Sequence[str]
) -> str:
    """A table of all models for the terminal, and what to know of it.

    Args:
        summary: of the models, and of what to compare them with.
        findings: sentences.
    """
    rows = deepfm_tf.report.results_table(summary)
    # A terminal is narrow: what is not about the test is in the page.
    shown = [title for title in rows[0] if title not in _PAGE_ONLY]
    table = deepfm_tf.report.text_table(rows, shown)
    return "\n".join([table, *[""] * bool(findings), *findings])


def report_content(
    settings: Settings,
    data: dict[str, deepfm_tf.PreparedData],
    results: list[Any],
) -> dict[str, Any]:
    """What every report holds: see `deepfm_tf.report.Report`.

    Args:
        settings: the options.
        data: by part.
        results: a `deepfm_tf.report.Run` each, with `seed` and `curve`.
    """
    schema = data["train"].schema
    names = ", ".join(settings.model)
    if len(settings.model) > 2:
        names = f"{len(settings.model)} models"
    return {
        "title": f"{names} on {Path(settings.train[0]).name}",
        "command": settings.command(),
        "seed": settings.seed,
        "versions": {
            "python": platform.python_version(),
            "deepfm_tf": deepfm_tf.__version__,
            **{
                name: importlib.metadata.version(name)
                for name in ("tensorflow", "keras", "numpy", "pandas")
            },
        },
        "schema": {
            "summary": summary(schema),
            "label": schema.label,
            "example_weight": schema.example_weight,
            "fields": schema.to_dict()["fields"],
            "notes": list(schema.notes),
        },
        "data": {
            name: {
                "rows": part.num_rows,
                "positives": part.num_positives,
                "rejected": part.num_rejected,
                "drift": [drift.to_dict() for drift in part.drift],
                "shares": [vars(entry) for entry in part.shares],
            }
            for name, part in data.items()
        },
        "group_by": settings.group_by,
        "summary": deepfm_tf.report.summarize_runs(results),
        "models": results,
    }


def with_curve(
    settings: Settings,
    data: dict[str, deepfm_tf.PreparedData],
    result: dict[str, Any],
) -> dict[str, Any]:
    """A result with its learning curve: a point for each evaluation."""
    preset = settings.preset_for(
        result["model"], data["train"], result["preset"]
    )
    steps = steps_between(settings, preset, data["train"])
    history = result["history"]
    values = zip(history["val_auc"], history["val_log_loss"], strict=True)
    curve = [
        {"step": number * steps, "auc": auc, "log_loss": loss}
        for number, (auc, loss) in enumerate(values, 1)
    ]
    return {**result, "seed": settings.seed, "curve": curve}


def summary(schema: deepfm_tf.Schema) -> str:
    """How many fields there are of each kind."""
    kinds = [field.type_name for field in schema.fields]
    counts = [
        f"{kinds.count(kind)} {kind.replace('_', '-')}"
        for kind in dict.fromkeys(kinds)
    ]
    return f"{', '.join(counts)} fields"


def write_json(path: Path, content: Any) -> None:
    """Write plain data, all or nothing; NaN becomes null."""
    text = json.dumps(without_nan(content), indent=1, ensure_ascii=False)
    write_text(path, text + "\n")


def without_nan(value: Any) -> Any:
    """JSON has no NaN: an undefined metric is None."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
