"""One row that a model takes, to try it with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from deepfm_tf.serving.engine.servable import Servable

_SIGNATURE = "serving_default"
_CARD_FILE = Path("assets.extra") / "model_card.json"
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


def example_row(servable: Servable) -> dict[str, Any] | None:
    """One row of inputs, or None where JSON has no row for the signature."""
    signature = servable.signature_defs.get(_SIGNATURE)
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
