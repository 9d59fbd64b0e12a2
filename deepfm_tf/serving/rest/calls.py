"""What a REST path asks for, and its answer by way of the gRPC handlers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.handlers import DEFAULT_SIGNATURE, Models
from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest.requests import (
    Inputs,
    fill_examples,
    is_row_format,
    parse_body,
    signature_name,
    tensors_from_inputs,
    tensors_from_instances,
)
from deepfm_tf.serving.rest.tensors import (
    columns_json,
    document,
    rows_json,
    short_floats,
)
from deepfm_tf.serving.served_fields import (
    FIELDS,
    ROWS,
    SIGNATURE,
    ServedFields,
)

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

Body = bytes | bytearray
ModelStatus = Callable[
    [str, int | None, str | None],
    get_model_status_pb2.GetModelStatusResponse,
]

_VERSION = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_INFERENCE = re.compile(
    rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_LOOK_UP = re.compile(
    rf"/v1/models(?:/([^/:]+))?{_VERSION}(/metadata)?",
    re.IGNORECASE | re.ASCII,
)
INFERENCE_METHODS = ("classify", "regress", "predict")
# What is looked at, and said, of fields that stand for inputs.
_MOST_ROWS, _MOST_NAMED, _SECONDS = 100, 5, 1.0


@dataclass(frozen=True)
class RestCall:
    """One request's path, taken apart.

    Args:
        method: str. `predict`, `classify`, `regress`, `get_model_status` or
            `get_model_metadata`.
        name: str. The model's name, percent-decoded.
        version: int or None.
        label: str or None. A version's label, percent-decoded.
    """

    method: str
    name: str
    version: int | None = None
    label: str | None = None

    def model_spec(self) -> model_pb2.ModelSpec:
        """The same as the gRPC API says it."""
        spec = model_pb2.ModelSpec(name=self.name)
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec


def parse_path(verb: str, path: str) -> RestCall:
    """Takes the path of a request apart.

    A name is only ever compared with the names of models, so that
    `..%2f..` is an unknown model and no path.

    Args:
        verb: str. `GET`, `POST` or another.
        path: str. As sent: percent-encoded, without the query.

    Raises:
        ServingError: INVALID_ARGUMENT for anything that the API does not
            have, in TensorFlow Serving's words.

    Example:

    >>> parse_path("POST", "/v1/models/ctr/versions/3:predict")
    RestCall(method='predict', name='ctr', version=3, label=None)
    """
    malformed = invalid_argument(f"Malformed request: {verb} {path}")
    if verb == "POST" and (found := _INFERENCE.fullmatch(path)):
        name, version, label, method = found.groups()
        # The path may be in capitals, the method may not.
        if method not in INFERENCE_METHODS:
            raise malformed
    elif verb == "GET" and (found := _LOOK_UP.fullmatch(path)):
        name, version, label, metadata = found.groups()
        # TensorFlow Serving answers /METADATA with the status, too.
        is_metadata = metadata == "/metadata"
        method = "get_model_metadata" if is_metadata else "get_model_status"
        if name is None:
            raise invalid_argument("Missing model name in request.")
    else:
        raise malformed
    return RestCall(
        method,
        _decoded(name),
        None if version is None else _version(version),
        None if label is None else _decoded(label),
    )


class RestCalls:
    """Answers calls with bytes of JSON; blocks while it does.

    Args:
        models: Models. Where the handlers get their versions from.
        model_status: callable. `(name, version or None, label or None)` to a
            GetModelStatusResponse.
        signature_method_name_check: bool. As in `handlers.predict`.
    """

    def __init__(
        self,
        models: Models,
        model_status: ModelStatus,
        signature_method_name_check: bool = False,
    ) -> None:
        self.models = models
        self.model_status = model_status
        self.signature_method_name_check = signature_method_name_check

    def answer(self, call: RestCall, body: Body, deadline: float) -> bytes:
        """The JSON that answers a call.

        Args:
            call: RestCall.
            body: bytes or bytearray. The request's body, decompressed.
            deadline: float. In `time.monotonic()`'s seconds.

        Raises:
            ServingError: codes and texts are TensorFlow Serving's.
        """
        if call.method == "get_model_status":
            found = self.model_status(call.name, call.version, call.label)
            return _indented(_as_dict(found))
        if call.method == "get_model_metadata":
            return self._metadata(call)
        if call.method == "predict":
            return self._predict(call, body, deadline)
        return self._infer_examples(call, body, deadline)

    def _metadata(self, call: RestCall) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=call.model_spec(), metadata_field=["signature_def"]
        )
        response = handlers.get_model_metadata(self.models, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return _indented(
            {
                "model_spec": _as_dict(response.model_spec),
                "metadata": {"signature_def": _as_dict(signatures)},
            }
        )

    def _predict(self, call: RestCall, body: Body, deadline: float) -> bytes:
        given = parse_body(body)
        request = predict_pb2.PredictRequest(model_spec=call.model_spec())
        request.model_spec.signature_name = signature_name(given)
        # One version gives the signature and the answer, also where a new
        # one becomes available in between.
        with self.models.acquire(request.model_spec) as loaded:
            inputs = _signature_inputs(loaded, request.model_spec)
            in_rows = is_row_format(given)
            values = given.pop("instances" if in_rows else "inputs")
            read = tensors_from_instances if in_rows else tensors_from_inputs
            try:
                tensors = read(values, inputs)
            except ServingError as error:
                raise _with_field_names(
                    error, loaded.servable, values, inputs
                ) from error
            for name, tensor in tensors.items():
                request.inputs[name].CopyFrom(tensor)
            response = handlers.predict(
                loaded,
                request,
                _seconds_left(deadline),
                signature_method_name_check=self.signature_method_name_check,
                tensor_content=True,
            )
        return (rows_json if in_rows else columns_json)(response.outputs)

    def _infer_examples(
        self, call: RestCall, body: Body, deadline: float
    ) -> bytes:
        kind, handle, results = _METHODS_OF_EXAMPLES[call.method]
        given = parse_body(body)
        request = kind(model_spec=call.model_spec())
        request.model_spec.signature_name = signature_name(given)
        fill_examples(given, request.input)
        response = handle(
            self.models,
            request,
            _seconds_left(deadline),
            signature_method_name_check=self.signature_method_name_check,
        )
        return document("results", results(response.result))


def error_json(message: str) -> bytes:
    """`{"error": message}`."""
    return _indented({"error": message})


def _signature_inputs(
    loaded: LoadedVersion, spec: model_pb2.ModelSpec
) -> Inputs:
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = loaded.servable.signature_defs.get(name)
    if signature is None:
        raise invalid_argument(
            f'Serving signature name: "{name}" not found in signature def'
        )
    if not signature.inputs:
        raise invalid_argument(
            "Failed to get input map for signature: "
            f"{spec.signature_name or 'DEFAULT'}"
        )
    inputs: Inputs = signature.inputs
    return inputs


def _seconds_left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "The request took longer than the server's REST timeout.",
        )
    return seconds


def _decoded(text: str) -> str:
    # Latin-1 stands for the bytes as sent, also where they are UTF-8.
    raw = text.encode("latin-1", "replace")
    return unquote_to_bytes(raw).decode(errors="replace")


def _version(digits: str) -> int:
    version = digits.lstrip("0") or "0"
    if len(version) > 19 or int(version) >= 2**63:
        raise invalid_argument(
            f"Failed to convert version: {digits} to numeric."
        )
    return int(version)


def _classifications(
    result: classification_pb2.ClassificationResult,
) -> list[Any]:
    """For each example its pairs of label and score."""
    rows = [row.classes for row in result.classifications]
    scores = iter(short_floats([each.score for row in rows for each in row]))
    return [[[each.label, next(scores)] for each in row] for row in rows]


def _regressions(result: regression_pb2.RegressionResult) -> list[float]:
    return short_floats([each.value for each in result.regressions])


_METHODS_OF_EXAMPLES: dict[str, tuple[Any, Any, Any]] = {
    "classify": (
        classification_pb2.ClassificationRequest,
        handlers.classify,
        _classifications,
    ),
    "regress": (
        regression_pb2.RegressionRequest,
        handlers.regress,
        _regressions,
    ),
}


def _as_dict(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return found


def _indented(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=4)
    return text.encode(errors="replace")


def _with_field_names(
    error: ServingError, servable: Servable, values: Any, inputs: Inputs
) -> ServingError:
    """The same error, and which inputs the fields have that were named.

    TensorFlow Serving's text stands first, as it is. Nothing is added where
    no name is a field's, or where the model does not tell its fields.
    """
    objects = values if isinstance(values, list) else [values]
    names = {
        name
        for value in objects[:_MOST_ROWS]
        if isinstance(value, dict)
        for name in value
    }
    signature = servable.signature_defs.get(SIGNATURE)
    if (
        names <= set(inputs)
        or signature is None
        or set(signature.inputs) != {ROWS}
        or set(signature.outputs) != {FIELDS}
    ):
        return error
    request = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[b""]
    )
    request.tensor_shape.dim.add(size=1)
    try:
        answer = servable.run(
            signature, {ROWS: request}, [FIELDS], timeout=_SECONDS
        )
    except ServingError:
        return error
    fields = ServedFields.from_json(b"".join(answer[FIELDS].string_val))
    meant = [
        f"the field '{field.name}' has the input '{field.input}'"
        for field in fields.fields
        if field.name in names - set(inputs) and field.input in inputs
    ]
    if not meant:
        return error
    more = f" and {len(meant) - _MOST_NAMED} more" * (len(meant) > _MOST_NAMED)
    return ServingError(
        error.code,
        f"{error.message} (In this model {', '.join(meant[:_MOST_NAMED])}"
        f"{more}; the signature '{SIGNATURE}' lists them.)",
    )
