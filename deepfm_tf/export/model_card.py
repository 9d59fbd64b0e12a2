"""What a version is and where it comes from, as JSON beside the graph."""

from __future__ import annotations

import datetime
import json
import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deepfm_tf.calibration import Calibration
from deepfm_tf.explain import Explainer
from deepfm_tf.export.example_row import example_row
from deepfm_tf.export.explain import columns_of_terms
from deepfm_tf.export.fields import describe_fields
from deepfm_tf.export.rank import CONTEXT_PREFIX, split_fields
from deepfm_tf.export.requests import Request
from deepfm_tf.fields import Field
from deepfm_tf.lookup import number_fields, text_fields
from deepfm_tf.models import CTRModel
from deepfm_tf.schema import Schema
from deepfm_tf.version import __version__
from deepfm_tf.vocabulary import Vocabulary

CARD_FILE = Path("assets.extra") / "model_card.json"


def write_model_card(
    model: CTRModel,
    vocabulary: Vocabulary,
    saved_model: Path,
    *,
    defaults: Mapping[str, Any],
    context_fields: Sequence[str],
    table: Mapping[str, Any],
    calibration: Calibration | None,
    metrics: Mapping[str, Any] | None,
    data_fingerprint: str | None,
    trained_files: Sequence[str] = (),
    explainer: Explainer | None = None,
    warm_up: Sequence[Request] = (),
) -> None:
    """Write the card of a SavedModel.

    Args:
        model: the model.
        vocabulary: its Vocabulary.
        saved_model: the directory of the version, graph included.
        defaults: field name -> value where a request leaves the field out.
        context_fields: names of the fields that `rank` takes once.
        table: the type of the table, and what it costs.
        calibration: what the probabilities go through, or None.
        metrics: name -> number, or None.
        data_fingerprint: `PreparedData.fingerprint` of the training data, or
            None.
        trained_files: digests of the files of all days that it was trained
            on.
        explainer: what the signature `explain` is of, if there is one.
        warm_up: the requests that a server replays.
    """
    schema = model.schema
    config = {k: v for k, v in model.get_config().items() if k != "schema"}
    card = {
        "model": {
            "class": type(model).__name__,
            "parameters": model.count_params(),
            "config": config,
        },
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"
        ),
        "schema": schema.to_dict(),
        "vocabulary_sizes": dict(
            zip(
                (field.name for field in schema.table_fields),
                schema.vocabulary_sizes,
                strict=True,
            )
        ),
        # Which input each field has, as the signature `fields` tells.
        "fields": describe_fields(vocabulary, defaults),
        # A row of frequent values, for those who try the model out.
        "example": example_row(vocabulary),
        "signatures": _signatures(saved_model),
        # The columns of the matrices, in order.
        "packed_columns": _columns(schema.fields),
        "packed_rank_columns": _rank_columns(schema, context_fields),
        "context_fields": list(context_fields),
        # What stands in the columns of its terms.
        "explain": columns_of_terms(explainer) if explainer else None,
        "table": dict(table),
        # Servers that merge requests do not load every version: see README.
        "warm_up": {
            "rows": sorted({request.rows.num_rows for request in warm_up}),
            "signatures": sorted({request.signature for request in warm_up}),
        },
        "calibration": calibration.to_dict() if calibration else None,
        "training_data": {
            "fingerprint": data_fingerprint,
            "vocabulary_fingerprint": vocabulary.fingerprint(),
            "files": list(trained_files),
        },
        "metrics": dict(metrics or {}),
        "versions": {
            "deepfm_tf": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        "git_commit": git_commit(),
    }
    file = saved_model / CARD_FILE
    file.parent.mkdir(exist_ok=True)
    text = json.dumps(
        _plain(card), indent=1, ensure_ascii=False, allow_nan=False
    )
    file.write_text(text + "\n", encoding="utf-8")


def git_commit() -> str | None:
    """The commit of the working directory, `-dirty` if changed; or None."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        process = subprocess.run(
            [*command, "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git
    return process.stdout.strip() or None


def _columns(fields: Sequence[Field], prefix: str = "") -> dict[str, Any]:
    """Input -> the names of its columns."""
    return {
        f"{prefix}{name}": [field.name for field in chosen]
        for name, chosen in (
            ("texts", text_fields(fields)),
            ("numbers", number_fields(fields)),
        )
        if chosen
    }


def _rank_columns(
    schema: Schema, context_fields: Sequence[str]
) -> dict[str, Any]:
    if not context_fields:
        return {}
    context, candidates = split_fields(schema, context_fields)
    return _columns(context, CONTEXT_PREFIX) | _columns(candidates)


def _signatures(saved_model: Path) -> dict[str, Any]:
    content = (saved_model / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    return {
        name: {
            "method_name": definition.method_name,
            "inputs": _tensors(definition.inputs),
            "outputs": _tensors(definition.outputs),
            "defaults": {
                key: tf.make_ndarray(tensor).tolist()
                for key, tensor in sorted(definition.defaults.items())
            },
        }
        for name, definition in sorted(graph.signature_def.items())
        if not name.startswith("__")
    }


def _tensors(infos: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> type and shape; null stands for any number of rows."""
    return {
        name: {
            "dtype": tf.as_dtype(info.dtype).name,
            "shape": [
                None if dim.size < 0 else dim.size
                for dim in info.tensor_shape.dim
            ],
        }
        for name, info in sorted(infos.items())
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN (null), bytes or numpy numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
