"""What an export keeps of its model beyond what it serves with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.export.model_card import CARD_FILE
from deepfm_tf.export.signatures import TABLE
from deepfm_tf.models import CTRModel
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary
from deepfm_tf.vocabulary.files import (
    EXPORTED_FILE,
    value_files,
    write_exported,
)

# All weights but the table, which is among the SavedModel's variables.
WEIGHTS_FILE = Path("assets.extra") / "weights.npz"


def keep_model(
    model: CTRModel, vocabulary: Vocabulary, saved_model: Path
) -> None:
    """Keep what a model, and its vocabulary, can be made of again.

    What a SavedModel holds of its weights is laid out for serving, and has no
    names; what it holds of the vocabulary are texts and constants.

    Args:
        model: the model.
        vocabulary: its Vocabulary.
        saved_model: the directory of the version.
    """
    write_exported(
        saved_model / EXPORTED_FILE,
        vocabulary.statistics,
        {
            name: vocabulary.values[name]
            for name in value_files(vocabulary.schema)
            if not vocabulary.schema.field(name).is_text
        },
    )
    file = saved_model / WEIGHTS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        str(number): keras.ops.convert_to_numpy(weight)
        for number, weight in enumerate(model.weights)
        if weight is not table_of(model)
    }
    np.savez(file, **arrays)


def read_model(version: Path) -> CTRModel:
    """The model of an export, not compiled.

    Args:
        version: the directory of the version.

    Raises:
        UserError: it is not an export that keeps its model, or not of a model
            of this package.
    """
    card = _read_card(version)
    kind = card["model"]["class"]
    known = {each.__name__: each for each in _models()}
    if kind not in known:
        raise UserError(
            f"{version}: the model must be of this package, or registered "
            f"with Keras and imported. Received: {kind}."
        )
    schema = Schema.from_dict(card["schema"])
    model: CTRModel = known[kind].from_config(
        card["model"]["config"] | {"schema": schema.to_dict()}
    )
    with np.load(version / WEIGHTS_FILE, allow_pickle=False) as file:
        for number, weight in enumerate(model.weights):
            if weight is table_of(model):
                weight.assign(_read_table(version, tuple(weight.shape)))
            else:
                weight.assign(file[str(number)])
    return model


def table_of(model: CTRModel) -> Any:
    """The variable of a model's table; None if it has none."""
    layer = model.embedding_layer
    return None if layer is None else layer.embeddings


def _models() -> list[type[CTRModel]]:
    """All models that there are, those of the user's own last."""
    found: list[type[CTRModel]] = []
    waiting = [CTRModel]
    while waiting:
        below = waiting.pop(0).__subclasses__()
        found += below
        waiting += below
    return found


def _read_card(version: Path) -> dict[str, Any]:
    if not (version / WEIGHTS_FILE).is_file():
        raise UserError(
            f"{version} must be an export that keeps its model "
            f"({WEIGHTS_FILE}), as those of 0.7 and later do. Received: one "
            "that does not. Export the model again."
        )
    card: dict[str, Any] = json.loads((version / CARD_FILE).read_bytes())
    return card


def _read_table(version: Path, shape: tuple[int, ...]) -> Array:
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    # The names of what was tracked, and under which key each variable is.
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    keys = [
        attribute.checkpoint_key
        for collection in graph.nodes[0].children
        if collection.local_name == TABLE
        for child in graph.nodes[collection.node_id].children
        for attribute in graph.nodes[child.node_id].attributes
    ]
    shapes = reader.get_variable_to_shape_map()
    if [tuple(shapes[key]) for key in keys] != [shape]:
        raise UserError(
            f"{version} must hold the table of its model, of shape {shape}. "
            "Received: an export that is damaged. Export the model again."
        )
    # 16 bits become 32.
    return np.asarray(tf.cast(reader.get_tensor(keys[0]), "float32"))
