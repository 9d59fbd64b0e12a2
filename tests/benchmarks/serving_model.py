"""The servable that the serving benchmark measures, and requests for it.

Shaped like Criteo: 26 categories of 20,000 values each and 13 numbers, DeepFM
with k = 16 and a 256-128-64 pyramid, untrained. The first 20 fields are the
context of `rank`.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import deepfm_tf

MODEL_NAME = "criteo"
VALUES_PER_FIELD = 20_000
CATEGORICAL = tuple(f"c{number}" for number in range(26))
NUMERIC = tuple(f"i{number}" for number in range(13))
CONTEXT = (*CATEGORICAL[:14], *NUMERIC[:6])


def export(directory: Path, explains: bool = False) -> Path:
    """Export the model as the next version in `directory`."""
    values = np.char.add("value_", np.arange(VALUES_PER_FIELD).astype(str))
    data = {name: values.tolist() for name in CATEGORICAL}
    data |= {name: np.linspace(0, 1, len(values)) for name in NUMERIC}
    data["click"] = np.arange(len(values)) % 2
    schema = deepfm_tf.Schema(
        (
            *(
                deepfm_tf.CategoricalField(name, min_count=1)
                for name in CATEGORICAL
            ),
            *(deepfm_tf.NumericField(name) for name in NUMERIC),
        ),
        label="click",
    )
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = deepfm_tf.DeepFM(
        vocabulary.schema, embedding_dim=16, hidden_units=(256, 128, 64)
    )
    explainer = None
    if explains:
        background = deepfm_tf.encode(data, vocabulary)
        explainer = deepfm_tf.Explainer(model, [background])
    return deepfm_tf.export_saved_model(
        model,
        vocabulary,
        directory,
        context_fields=CONTEXT,
        explainer=explainer,
    )


def rows(batch_size: int, repeat_context: bool) -> dict[str, np.ndarray]:
    """Raw rows; with one context for all of them, as `rank` has it."""
    random = np.random.default_rng(batch_size)
    numbers = random.integers(
        VALUES_PER_FIELD, size=(batch_size, len(CATEGORICAL))
    )
    columns: dict[str, np.ndarray] = {
        name: np.array([f"value_{n}" for n in numbers[:, i]], dtype=object)
        for i, name in enumerate(CATEGORICAL)
    }
    for name in NUMERIC:
        columns[name] = random.uniform(size=batch_size).astype(np.float32)
    if repeat_context:
        for name in CONTEXT:
            columns[name] = np.repeat(columns[name][:1], batch_size)
    return columns


def inputs(signature: str, batch_size: int) -> dict[str, np.ndarray]:
    """The inputs of a signature, for the same rows whatever the signature."""
    columns = rows(batch_size, repeat_context=True)
    if signature == "packed":
        return {
            "texts": np.stack([columns[n] for n in CATEGORICAL], axis=1),
            "numbers": np.stack([columns[n] for n in NUMERIC], axis=1),
        }
    if signature == "packed_rank":
        parts = {}
        for name, fields in (("texts", CATEGORICAL), ("numbers", NUMERIC)):
            shared = [columns[n] for n in fields if n in CONTEXT]
            own = [columns[n] for n in fields if n not in CONTEXT]
            parts[f"context_{name}"] = np.stack(shared, axis=1)[:1]
            parts[name] = np.stack(own, axis=1)
        return parts
    if signature == "rank":
        return {
            name: column[:1] if name in CONTEXT else column
            for name, column in columns.items()
        }
    return columns


def request(signature: str, batch_size: int) -> bytes:
    """A serialized PredictRequest."""
    result = predict_pb2.PredictRequest()
    result.model_spec.name = MODEL_NAME
    result.model_spec.signature_name = signature
    for name, value in inputs(signature, batch_size).items():
        result.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return result.SerializeToString()
