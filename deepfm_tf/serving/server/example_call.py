"""A call that a user can paste into a shell, made for the served model."""

from __future__ import annotations

import json
import shlex
import urllib.parse
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis import model_pb2

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.store import ModelStore

SIGNATURE = "serving_default"
_CARD_FILE = Path("assets.extra") / "model_card.json"
# Longer lines do not help; a terminal takes 4,096 bytes.
_MAX_LENGTH = 3_500
# What stands for a value of each type that JSON can carry.
_ZEROS: dict[int, Any] = {
    dtype.as_datatype_enum: zero
    for zero, dtypes in (
        ("", (tf.string,)),
        (False, (tf.bool,)),
        (0.0, (tf.float32, tf.float64)),
        (0, (tf.int8, tf.int16, tf.int32, tf.int64)),
        (0, (tf.uint8, tf.uint32, tf.uint64)),
    )
    for dtype in dtypes
}


def curl_line(store: ModelStore, name: str, port: int) -> str | None:
    """A `curl` command that asks the newest version for one row.

    The row is that of the model card, if the version has one, else one of the
    shapes that the signature takes: empty texts and zeros.

    Args:
        store: the models.
        name: str. One of them.
        port: int. Of REST.

    Returns:
        The line, quoted for the shell. None if no version is available, or
        if no row of a moderate length can be sent as JSON.
    """
    try:
        with store.acquire(model_pb2.ModelSpec(name=name)) as loaded:
            row = example_instance(loaded.servable)
    except ServingError:
        return None
    if row is None:
        return None
    # ASCII, so that every terminal can show it.
    data = json.dumps({"instances": [row]})
    model = urllib.parse.quote(name, safe="")
    url = f"http://localhost:{port}/v1/models/{model}:predict"
    line = shlex.join(["curl", "-d", data, url])
    return line if len(line) <= _MAX_LENGTH else None


def example_instance(servable: Servable) -> dict[str, Any] | None:
    """One row of inputs, or None where JSON has no row for the signature."""
    signature = servable.signature_defs.get(SIGNATURE)
    if signature is None or not signature.inputs:
        return None
    given = _of_card(servable.path / _CARD_FILE)
    if given.keys() == signature.inputs.keys():
        return given
    return _of_signature(signature)


def _of_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text("utf-8"))
        return dict(card["example"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # none, of an earlier version, or of another package


def _of_signature(signature: SignatureDef) -> dict[str, Any] | None:
    row = {}
    for name, info in sorted(signature.inputs.items()):
        shape = info.tensor_shape
        if shape.unknown_rank or not shape.dim or info.dtype not in _ZEROS:
            return None
        row[name] = _filled(info)
    return row


def _filled(info: TensorInfo) -> Any:
    """A value of the shape behind the rows; one where any length is taken."""
    value: Any = _ZEROS[info.dtype]
    for dim in reversed(info.tensor_shape.dim[1:]):
        value = [value] * (dim.size if dim.size >= 0 else 1)
    return value
