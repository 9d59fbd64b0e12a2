"""A small SavedModel with the three kinds of signature, made without Keras."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import predict_pb2

from deepfm_tf.serving.engine.servable import LoadedVersion

TEXTS = ("c0", "c1", "c2")
NUMBERS = ("n0", "n1")
_WEIGHTS = (0.25, -0.5, 0.75, 0.5, -0.25)


class ToyModule(tf.Module):
    """`ctr = sigmoid(bias + Σ_t w_t id(t) + Σ_n w_n n)`.

    `id` is 1 for "a", 2 for "b" and 0 for any other text. The bias tells one
    version from another.
    """

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.weights = tf.Variable(_WEIGHTS, name="weights")
        self.bias = tf.Variable(bias, name="bias")
        values = tf.lookup.KeyValueTensorInitializer(
            ["a", "b"], [1, 2], value_dtype=tf.int64
        )
        self.table = tf.lookup.StaticHashTable(values, 0)

    def ctr(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """(batch,) from a dict of (batch,)."""
        columns = []
        for name in TEXTS + NUMBERS:
            column = features[name]
            if name in TEXTS:
                column = tf.cast(self.table.lookup(column), tf.float32)
            rows = tf.shape(column)[0]  # Refuses a scalar.
            columns.append(tf.reshape(column, [rows, 1]))
        values = tf.concat(columns, axis=1)
        return tf.sigmoid(tf.linalg.matvec(values, self.weights) + self.bias)

    def parsed(self, examples: tf.Tensor) -> tf.Tensor:
        """(batch,) from serialized tf.Example; an absent feature is empty."""
        features: dict[str, tf.io.FixedLenFeature] = {}
        for name in TEXTS:
            features[name] = tf.io.FixedLenFeature([], tf.string, "")
        for name in NUMBERS:
            features[name] = tf.io.FixedLenFeature([], tf.float32, 0.0)
        return self.ctr(tf.io.parse_example(examples, features))


def toy_model(
    directory: str | Path, version: int = 1, bias: float = 0.0
) -> Path:
    """Writes `directory/<version>` and returns that path.

    Signatures: `serving_default` (c0, c1, c2: string [None]; n0, n1: float
    [None] -> ctr: float [None]), `classify` (inputs -> classes, scores) and
    `regress` (inputs -> outputs), both on serialized tf.Example.
    """
    module = ToyModule(bias)
    specs = [tf.TensorSpec([None], tf.string, name) for name in TEXTS]
    specs += [tf.TensorSpec([None], tf.float32, name) for name in NUMBERS]
    examples = tf.TensorSpec([None], tf.string, "inputs")

    @tf.function(input_signature=specs, autograph=False)
    def predict(c0, c1, c2, n0, n1):
        features = {"c0": c0, "c1": c1, "c2": c2, "n0": n0, "n1": n1}
        return {"ctr": module.ctr(features)}

    @tf.function(input_signature=[examples], autograph=False)
    def classify(inputs):
        ctr = module.parsed(inputs)
        rows = tf.shape(ctr)[0]
        classes = tf.repeat(tf.constant([["0", "1"]]), rows, axis=0)
        return {
            "classes": classes,
            "scores": tf.stack([1 - ctr, ctr], axis=1),
        }

    @tf.function(input_signature=[examples], autograph=False)
    def regress(inputs):
        return {"outputs": module.parsed(inputs)}

    path = Path(directory) / str(version)
    functions = {
        "serving_default": predict,
        "classify": classify,
        "regress": regress,
    }
    tf.saved_model.save(module, str(path), signatures=functions)
    return path


def copy_with_bias(version: Path, target: Path, bias: float) -> None:
    """The toy of another bias; a tenth of the time of an export."""
    shutil.copytree(version, target)
    prefix = str(target / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    tensors = [tf.constant(reader.get_tensor(name)) for name in names]
    at = names.index("bias/.ATTRIBUTES/VARIABLE_VALUE")
    tensors[at] = tf.constant(bias)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=tensors,
    )


def expected_ctr(columns: dict[str, list], bias: float = 0.0) -> np.ndarray:
    """What the toy answers, in numpy: (batch,) float64."""
    logits = np.full(len(columns["c0"]), bias, np.float64)
    for name, weight in zip(TEXTS + NUMBERS, _WEIGHTS, strict=True):
        values = columns[name]
        if name in TEXTS:
            values = [{"a": 1, "b": 2}.get(text, 0) for text in values]
        logits += weight * np.asarray(values, np.float64)
    return 1 / (1 + np.exp(-logits))


# One version of one model, whatever a request asks for.
ToyModels = functools.partial(LoadedVersion, "toy", 1)

COLUMNS = {
    "c0": ["a", "b", "z"],
    "c1": ["b", "b", "a"],
    "c2": ["", "a", "b"],
    "n0": [0.5, -1.0, 2.0],
    "n1": [1.0, 0.0, -3.0],
}


def predict_request(
    columns: dict[str, list] | None = None,
) -> predict_pb2.PredictRequest:
    """A request for the toy: `COLUMNS`, or others of the same names."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    for name, values in (columns or COLUMNS).items():
        dtype = tf.string if name in TEXTS else tf.float32
        proto = tf.make_tensor_proto(values, dtype)
        request.inputs[name].CopyFrom(proto)
    return request


def save_v1(
    path: str | Path, build: Callable[[], tuple[dict, tf.Operation | None]]
) -> None:
    """A SavedModel of TensorFlow 1: `build()` -> signatures, init op."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures, init_op = build()
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signatures,
            assets_collection=tf.compat.v1.get_collection("asset_filepaths"),
            main_op=init_op,
        )
        builder.save()


def signature_v1(
    inputs: dict[str, tf.Tensor],
    outputs: dict[str, tf.Tensor],
    method: str = "predict",
) -> SignatureDef:
    """A SignatureDef from tensors of the graph."""
    v1 = tf.compat.v1.saved_model
    return v1.build_signature_def(
        {key: v1.build_tensor_info(value) for key, value in inputs.items()},
        {key: v1.build_tensor_info(value) for key, value in outputs.items()},
        f"tensorflow/serving/{method}",
    )
