"""Answers to PredictionService's five requests, whatever carries them.

Also to those that a version brings along, before it serves. Codes and texts
of the errors are TensorFlow Serving's.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from deepfm_tf.serving.engine import protos
from deepfm_tf.serving.engine.servable import LoadedVersion, Servable
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
)

DEFAULT_SIGNATURE = "serving_default"
WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARM_UP_RECORDS = 1000
_SIGNATURE_DEF = "signature_def"
_PREDICTABLE = ("tensorflow/serving/predict", protos.CLASSIFY, protos.REGRESS)


class Models(Protocol):
    """Where the handlers get their versions from."""

    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> contextlib.AbstractContextManager[LoadedVersion]:
        """The version that a request means; ServingError if there is none.

        It is not unloaded while it is held.
        """


def predict(
    models: Models,
    request: predict_pb2.PredictRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
    tensor_content: bool = False,
) -> predict_pb2.PredictResponse:
    """Runs a signature on named tensors; `timeout` is in seconds.

    `signature_method_name_check` refuses signatures of other methods;
    `tensor_content` answers numbers as packed bytes, not as `float_val`.
    """
    spec = require_model_spec(request)
    with models.acquire(spec) as loaded:
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = loaded.servable.signature_defs.get(name)
        if signature is None:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        method = signature.method_name
        if signature_method_name_check and method not in _PREDICTABLE:
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_PREDICTABLE)}}}. Was: {method}",
            )
        feeds = _feeds(signature, request)
        outputs = _outputs(signature, request.output_filter)
        answers = loaded.servable.run(
            signature, feeds, outputs, timeout, tensor_content
        )
        return predict_pb2.PredictResponse(
            model_spec=_answered(loaded, name), outputs=answers
        )


def _run_examples(
    loaded: LoadedVersion,
    methods: Mapping[str, str],
    request: Any,
    timeout: float | None,
    method_name_check: bool,
) -> Iterator[tuple[protos.Method, dict[str, Any]]]:
    """What signatures answer for the same examples, in one run.

    From their names to those of their methods; for each of them the method,
    and the fields of an answer to it.
    """
    signatures = {n: loaded.servable.signature_defs[n] for n in methods}
    tensors: dict[str, dict[str, str]] = {}
    for name, signature in signatures.items():
        method = protos.METHODS[methods[name]]
        if method_name_check and signature.method_name != methods[name]:
            raise invalid_argument(
                f"Expected {method.noun} signature method_name to be "
                f"{methods[name]}. Was: {signature.method_name}"
            )
        tensors[name] = {
            key: signature.outputs[key].name
            for key in method.outputs(signature)
        }
    examples = protos.examples_tensor(request.input)
    arrays = loaded.servable.run_union(
        [(each, {"inputs": examples}) for each in signatures.values()],
        [tensor for found in tensors.values() for tensor in found.values()],
        timeout,
    )
    for name, found in tensors.items():
        method = protos.METHODS[methods[name]]
        outputs = {key: arrays[tensor] for key, tensor in found.items()}
        result = method.result(outputs, len(examples.string_val))
        yield method, {"model_spec": _answered(loaded, name), "result": result}


def _infer(
    method: str,
    response_type: Callable[..., Any],
    models: Models,
    request: Any,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
) -> Any:
    spec = require_model_spec(request)
    name = spec.signature_name or DEFAULT_SIGNATURE
    with models.acquire(spec) as loaded:
        if name not in loaded.servable.signature_defs:
            raise invalid_argument(
                f"No signature was found with the name: {name}"
            )
        ((_, fields),) = _run_examples(
            *(loaded, {name: method}, request, timeout),
            signature_method_name_check,
        )
    return response_type(**fields)


# Labels and scores of examples, and one number for each; the arguments after
# the first two are those of `predict`.
classify = functools.partial(
    _infer, protos.CLASSIFY, classification_pb2.ClassificationResponse
)
regress = functools.partial(
    _infer, protos.REGRESS, regression_pb2.RegressionResponse
)


def multi_inference(
    models: Models,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Several signatures of one model on the same examples, in one run."""
    spec = model_pb2.ModelSpec()
    if request.tasks:
        spec = request.tasks[0].model_spec
    response = inference_pb2.MultiInferenceResponse()
    with models.acquire(spec) as loaded:
        methods: dict[str, str] = {}
        for task in request.tasks:
            name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if task.model_spec.name != spec.name:
                raise invalid_argument(
                    "All ModelSpecs in a MultiInferenceRequest must access "
                    "the same model name."
                )
            if name in methods:
                raise invalid_argument(
                    f"Duplicate evaluation of signature: {name}"
                )
            if name not in loaded.servable.signature_defs:
                raise invalid_argument(
                    f"Requested signature not found in model graph: {name}"
                )
            if task.method_name not in protos.METHODS:
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"Unsupported signature method_name: {task.method_name}",
                )
            methods[name] = task.method_name
        for method, fields in _run_examples(
            *(loaded, methods, request, timeout), signature_method_name_check
        ):
            result = fields.pop("result")
            response.results.add(**fields, **{f"{method.noun}_result": result})
    return response


def get_model_metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version, packed as a SignatureDefMap."""
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
            model_spec=_answered(loaded)
        )
    response.metadata[_SIGNATURE_DEF].Pack(signatures)
    return response


def warm_up(servable: Servable, iterations: int = 1) -> int:
    """Runs each of the version's warm-up records so often; their number.

    A ServingError tells the first record that fails, by its number from 0, or
    that there are more than 1000.
    """
    path = servable.path / WARM_UP_FILE
    if not path.is_file():
        return 0
    version = LoadedVersion("warmup", 0, servable)
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            if count == MAX_WARM_UP_RECORDS:
                raise invalid_argument(
                    "Number of warmup records exceeds the maximum "
                    f"({MAX_WARM_UP_RECORDS})."
                )
            _replay(version, record, iterations, f"{count} of {path}")
            count += 1
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    return count


def _replay(
    version: LoadedVersion, record: bytes, iterations: int, which: str
) -> None:
    """Has the version answer a record, whatever model that names."""
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind not in _REPLAYED:
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Unsupported log_type for warmup: {kind}",
            )
        request = getattr(log, kind).request
        if kind != "multi_inference_log":
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            which += f" (signature {name!r})"
        for _ in range(iterations):
            _REPLAYED[kind](version, request)
    except (ServingError, DecodeError) as error:
        told = from_tensorflow(error)
        raise ServingError(
            told.code, f"Warm-up record {which}: {told.message}"
        ) from error


# What a record holds -> what answers it.
_REPLAYED: dict[str, Callable[..., object]] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


def require_model_spec(request: Any) -> model_pb2.ModelSpec:
    """The request's `model_spec`, or the error when there is none."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    return spec


def _answered(
    loaded: LoadedVersion, signature_name: str = ""
) -> model_pb2.ModelSpec:
    """The `model_spec` of a response: the version that has answered."""
    spec = model_pb2.ModelSpec(name=loaded.name, signature_name=signature_name)
    spec.version.value = loaded.version
    return spec


def _feeds(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> dict[str, tensor_pb2.TensorProto]:
    """A proto for every input: the request's, or else the default."""
    required, given = set(signature.inputs), dict(request.inputs)
    defaults = signature.defaults
    extra, missing = given.keys() - required, required - given.keys()
    if len(extra) > len(missing) or (
        len(extra) < len(missing) and not defaults
    ):
        raise invalid_argument(
            "input size does not match signature: "
            f"{len(given)}!={len(required)}. Sent extra: {_braces(extra)}. "
            f"Missing but required: {_braces(missing)}."
        )
    for alias in sorted(missing - defaults.keys()):
        raise invalid_argument(
            f"Signature input alias: {alias} not found in request and no "
            f"default value provided. Sent extra: {_braces(extra)}."
        )
    return {
        alias: given[alias] if alias in given else defaults[alias]
        for alias in required
    }


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
