"""The results of an experiment as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from pathlib import Path
from typing import Any

import deepfm_tf


def write_report(
    path: Path,
    command: str,
    seed: int,
    data: dict[str, deepfm_tf.PreparedData],
    results: list[dict[str, Any]],
) -> None:
    """Write what was done, on which data, and what came out."""
    schema = data["train"].schema
    report = {
        "command": command,
        "seed": seed,
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
            "fields": schema.to_dict()["fields"],
            "notes": list(schema.notes),
        },
        "data": {
            name: {
                "rows": part.num_rows,
                "positives": part.num_positives,
                "rejected": part.num_rejected,
            }
            for name, part in data.items()
        },
        "models": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(report), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def summary(schema: deepfm_tf.Schema) -> str:
    """How many fields there are of each kind."""
    kinds = [field.type_name for field in schema.fields]
    counts = [
        f"{kinds.count(kind)} {kind.replace('_', '-')}"
        for kind in dict.fromkeys(kinds)
    ]
    return f"{', '.join(counts)} fields"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: an undefined metric is null."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
