"""Answers to PredictionService's five requests, whatever carries them.

Also to those that a version brings along, before it serves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from deepfm_tf.serving.engine.inference import (
    classify,
    multi_inference,
    regress,
)
from deepfm_tf.serving.engine.models import (
    DEFAULT_SIGNATURE,
    LoadedVersion,
    Models,
    answered_spec,
    require_model_spec,
)
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
)

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

__all__ = [
    "classify",
    "get_model_metadata",
    "multi_inference",
    "predict",
    "regress",
    "warm_up",
]

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARM_UP_RECORDS = 1000
_SIGNATURE_DEF = "signature_def"
_METHODS = tuple(
    f"tensorflow/serving/{method}"
    for method in ("predict", "classify", "regress")
)


def predict(
    models: Models,
    request: predict_pb2.PredictRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
    tensor_content: bool = False,
) -> predict_pb2.PredictResponse:
    """Runs a signature on named tensors.

    Args:
        models: Models. Where the version comes from.
        request: PredictRequest.
        timeout: float or None. Seconds left for the run.
        signature_method_name_check: bool. Refuse signatures of other methods.
        tensor_content: bool. Numbers as packed bytes, not `float_val`.

    Raises:
        ServingError: code and text are TensorFlow Serving's.
    """
    spec = require_model_spec(request)
    with models.acquire(spec) as loaded:
        servable = loaded.servable
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature_defs.get(name)
        if signature is None:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        method = signature.method_name
        if signature_method_name_check and method not in _METHODS:
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_METHODS)}}}. Was: {method}",
            )
        feeds = _feeds(signature, request)
        outputs = _outputs(signature, request.output_filter)
        answers = servable.run(
            signature, feeds, outputs, timeout, tensor_content
        )
        response = predict_pb2.PredictResponse(
            model_spec=answered_spec(loaded, name)
        )
    for alias, proto in answers.items():
        response.outputs[alias].CopyFrom(proto)
    return response


def get_model_metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version, packed as a SignatureDefMap.

    Raises:
        ServingError: code and text are TensorFlow Serving's.
    """
    spec = require_model_spec(request)
    if not request.metadata_field:
        raise invalid_argument(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")
    with models.acquire(spec) as loaded:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in loaded.servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
            signatures.signature_def[name].ClearField("defaults")
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=answered_spec(loaded, None)
        )
    response.metadata[_SIGNATURE_DEF].Pack(signatures)
    return response


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
    path = servable.path / WARM_UP_FILE
    if not path.is_file():
        return 0
    version = LoadedVersion("warmup", 0, servable)
    count = 0
    try:
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for record in records:
            if count == MAX_WARM_UP_RECORDS:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "Number of warmup records exceeds the maximum "
                    f"({MAX_WARM_UP_RECORDS}).",
                )
            try:
                _replay(version, record, iterations)
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


def _feeds(
    signature: meta_graph_pb2.SignatureDef,
    request: predict_pb2.PredictRequest,
) -> dict[str, tensor_pb2.TensorProto]:
    """A proto for every input: the request's, or else the default."""
    required, given = set(signature.inputs), dict(request.inputs)
    defaults = signature.defaults
    if len(given) > len(required) or (
        len(given) < len(required) and not defaults
    ):
        extra, missing = given.keys() - required, required - given.keys()
        raise invalid_argument(
            "input size does not match signature: "
            f"{len(given)}!={len(required)} len({_braces(given)}) != "
            f"len({_braces(required)}). Sent extra: {_braces(extra)}. "
            f"Missing but required: {_braces(missing)}."
        )
    feeds = {}
    for alias in sorted(required):
        if alias in given:
            feeds[alias] = given[alias]
        elif alias in defaults:
            feeds[alias] = defaults[alias]
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: "
                f"{signature.inputs[alias].name}) not found in request and "
                "no default value provided. Inputs expected to be in the "
                f"request {_braces(given)}, or default input alias set: "
                f"{','.join(sorted(defaults))}"
            )
    return feeds


def _outputs(
    signature: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]
) -> list[str]:
    """The outputs to compute: the filter's, or else all."""
    outputs: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs "
                "expected to be in the set "
                f"{_braces(signature.outputs)}."
            )
        if alias in outputs:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        outputs.append(alias)
    return outputs or sorted(signature.outputs)


def _braces(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _signature(record: bytes) -> str:
    """Which signature a record asks, where it can be read."""
    with contextlib.suppress(DecodeError):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request if kind in _REPLAYED else None
        spec = getattr(request, "model_spec", None)
        if spec is not None:
            name = spec.signature_name or DEFAULT_SIGNATURE
            return f" (signature {name!r})"
    return ""


def _replay(version: LoadedVersion, record: bytes, iterations: int) -> None:
    """Has the version answer a record, whatever model that names."""
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"Failed to parse warmup record: {error}",
        ) from error
    kind = log.WhichOneof("log_type")
    if kind not in _REPLAYED:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Unsupported log_type for warmup: {kind}",
        )
    for _ in range(iterations):
        _REPLAYED[kind](version, getattr(log, kind).request)


# What a record holds -> what answers it.
_REPLAYED: dict[str, Callable[..., object]] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}
