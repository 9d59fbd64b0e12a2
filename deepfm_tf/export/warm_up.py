"""Requests that TensorFlow Serving replays before it serves a version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from deepfm_tf.export.requests import Request

# Where TensorFlow Serving looks for them in a version.
WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# Few, as each is run at every load; each batch size that is new costs time.
BATCH_SIZES = (1, 10, 100)


def write_warm_up(
    requests: Iterable[Request], model_name: str, saved_model: Path
) -> None:
    """Write the requests as a TFRecord of PredictionLog.

    Args:
        requests: to any signatures.
        model_name: the servable's; TensorFlow Serving does not look at it.
        saved_model: the directory of the version.
    """
    file = saved_model / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = _to_log(request, model_name)
            writer.write(log.SerializeToString(deterministic=True))


def read_warm_up(saved_model: Path) -> Iterator[Any]:
    """The PredictionLogs of a version."""
    for record in tf.data.TFRecordDataset(str(saved_model / WARM_UP_FILE)):
        yield prediction_log_pb2.PredictionLog.FromString(record.numpy())


def replay(log: Any, loaded: Any) -> dict[str, np.ndarray]:
    """Run a logged request as TensorFlow Serving does.

    Args:
        log: PredictionLog.
        loaded: what `tf.saved_model.load` gave.

    Returns:
        The signature's outputs.
    """
    request = getattr(log, log.WhichOneof("log_type")).request
    if log.WhichOneof("log_type") == "predict_log":
        feeds = {
            name: tf.constant(tf.make_ndarray(tensor))
            for name, tensor in request.inputs.items()
        }
    else:
        examples = request.input.example_list.examples
        texts = [example.SerializeToString() for example in examples]
        feeds = {"inputs": tf.constant(texts)}
    outputs = loaded.signatures[request.model_spec.signature_name](**feeds)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _to_log(request: Request, model_name: str) -> Any:
    log = prediction_log_pb2.PredictionLog()
    if isinstance(request.inputs, Mapping):
        message = log.predict_log.request
        for name, array in request.inputs.items():
            message.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    else:
        kind = {"classify": log.classify_log, "regress": log.regress_log}
        message = kind[request.signature].request
        message.input.example_list.examples.extend(request.inputs)
    message.model_spec.name = model_name
    message.model_spec.signature_name = request.signature
    return log
