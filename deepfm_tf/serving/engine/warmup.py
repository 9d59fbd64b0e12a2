"""Replays the requests that a version brings along, before it serves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.errors import ServingError, from_tensorflow

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000
_HANDLERS = {
    "predict_log": handlers.predict,
    "classify_log": handlers.classify,
    "regress_log": handlers.regress,
    "multi_inference_log": handlers.multi_inference,
}


@dataclass
class _OneVersion:
    """That version, whatever model the record names."""

    servable: Servable
    name: str = "warmup"
    version: int = 0

    @contextlib.contextmanager
    def acquire(self, model_spec: model_pb2.ModelSpec) -> Iterator[_OneVersion]:
        yield self


def warm_up(servable: Servable, iterations: int = 1) -> int:
    """Runs the version's warm-up records.

    Args:
        servable: Servable.
        iterations: int. How often to run each record.

    Returns:
        int. The number of records; 0 without a file.

    Raises:
        ServingError: with the number of the first record that fails (from
            0), or when there are more than 1000.
    """
    path = servable.path / FILE
    if not path.is_file():
        return 0
    models = _OneVersion(servable)
    count = 0
    try:
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for record in records:
            if count == MAX_RECORDS:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "Number of warmup records exceeds the maximum "
                    f"({MAX_RECORDS}).",
                )
            try:
                _replay(models, record, iterations)
            except ServingError as error:
                raise ServingError(
                    error.code,
                    f"Warm-up record {count} of {path}{_signature(record)}: "
                    f"{error.message}",
                ) from error
            count += 1
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    return count


def _signature(record: bytes) -> str:
    """Which signature a record asks, where it can be read."""
    with contextlib.suppress(DecodeError):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request if kind in _HANDLERS else None
        spec = getattr(request, "model_spec", None)
        if spec is not None:
            name = spec.signature_name or handlers.DEFAULT_SIGNATURE
            return f" (signature {name!r})"
    return ""


def _replay(models: _OneVersion, record: bytes, iterations: int) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"Failed to parse warmup record: {error}",
        ) from error
    kind = log.WhichOneof("log_type")
    if kind not in _HANDLERS:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Unsupported log_type for warmup: {kind}",
        )
    for _ in range(iterations):
        _HANDLERS[kind](models, getattr(log, kind).request)
