"""What a REST path asks for, and its answer by way of the gRPC handlers."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import grpc
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
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
from deepfm_tf.serving.rest import requests, tensors
from deepfm_tf.serving.signature import FIELDS, ROWS, SIGNATURE, ServedFields

Body = bytes | bytearray
INFERENCE_METHODS = ("classify", "regress", "predict")
STATUS, METADATA = "get_model_status", "get_model_metadata"
_PATH = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?"
    r"(?::(\w+)|(/metadata))?",
    re.IGNORECASE | re.ASCII,
)
# What is looked at, and said, of fields that stand for inputs.
_MOST_ROWS, _MOST_NAMED, _SECONDS = 100, 5, 1.0


class Store(Models, Protocol):
    """Models, and the states of their versions."""

    def status(
        self, model_spec: model_pb2.ModelSpec
    ) -> Sequence[get_model_status_pb2.ModelVersionStatus]:
        """Of all versions, or of one; ServingError where there is none."""


def parse_path(verb: str, path: str) -> tuple[str, model_pb2.ModelSpec]:
    """The method that a request is for, and of which model.

    One of `INFERENCE_METHODS`, `STATUS` or `METADATA`, and the `ModelSpec`.
    The path is as sent, percent-encoded, without the query. A name is only
    ever compared with the names of models, so that `..%2f..` is an unknown
    model and no path. What the API does not have is a ServingError in
    TensorFlow Serving's words.

    >>> method, spec = parse_path("POST", "/v1/models/ctr/versions/3:predict")
    >>> method, spec.name, spec.version.value
    ('predict', 'ctr', 3)
    """
    found = _PATH.fullmatch(path)
    name, version, label, method, metadata = (
        found.groups() if found else [""] * 5
    )
    # The path may be in capitals, the method may not.
    is_inference = verb == "POST" and name and method in INFERENCE_METHODS
    if not is_inference or metadata:
        if not found or verb != "GET" or method:
            raise invalid_argument(f"Malformed request: {verb} {path}")
        if name is None:
            raise invalid_argument("Missing model name in request.")
        # TensorFlow Serving answers /METADATA with the status, too.
        method = METADATA if metadata == "/metadata" else STATUS
    spec = model_pb2.ModelSpec(name=_decoded(name))
    if version is not None:
        digits = version.lstrip("0") or "0"
        if len(digits) > 19 or int(digits) >= 2**63:
            raise invalid_argument(
                f"Failed to convert version: {version} to numeric."
            )
        spec.version.value = int(digits)
    if label is not None:
        spec.version_label = _decoded(label)
    return method, spec


class RestCalls:
    """Answers calls of a store's models with JSON; blocks while it does."""

    def __init__(
        self, store: Store, signature_method_name_check: bool = False
    ) -> None:
        self._store = store
        check = signature_method_name_check
        self._options = {"signature_method_name_check": check}

    def answer(
        self,
        method: str,
        spec: model_pb2.ModelSpec,
        body: Body,
        deadline: float,
    ) -> bytes:
        """The JSON that answers a call of `parse_path`'s.

        The body is decompressed; the deadline in `time.monotonic()`'s seconds.
        Codes and texts of a ServingError are TensorFlow Serving's.
        """
        if time.monotonic() >= deadline:
            raise too_late()
        if method == STATUS:
            response = get_model_status_pb2.GetModelStatusResponse(
                model_version_status=self._store.status(spec)
            )
            return _indented(_as_dict(response))
        if method == METADATA:
            return self._metadata(spec)
        given = requests.parse_body(body)
        spec.signature_name = requests.signature_name(given)
        if method == "predict":
            return self._predict(spec, given, deadline)
        request: Any = regression_pb2.RegressionRequest(model_spec=spec)
        if method == "classify":
            request = classification_pb2.ClassificationRequest(model_spec=spec)
        requests.fill_examples(given, request.input)
        handle: Any = getattr(handlers, method)
        seconds = deadline - time.monotonic()
        answered = handle(self._store, request, seconds, **self._options)
        return tensors.document("results", _results(answered.result))

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=["signature_def"]
        )
        response = handlers.get_model_metadata(self._store, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return _indented(
            {
                "model_spec": _as_dict(response.model_spec),
                "metadata": {"signature_def": _as_dict(signatures)},
            }
        )

    def _predict(
        self, spec: model_pb2.ModelSpec, given: dict[str, Any], deadline: float
    ) -> bytes:
        # One version gives the signature and the answer, also where a new
        # one becomes available in between.
        with self._store.acquire(spec) as loaded:
            inputs = _inputs(loaded, spec.signature_name)
            try:
                found = requests.predict_tensors(given, inputs)
            except ServingError as error:
                hint = _field_names(given, loaded, inputs)
                raise ServingError(error.code, error.message + hint) from error
            response = handlers.predict(
                loaded,
                predict_pb2.PredictRequest(model_spec=spec, inputs=found),
                deadline - time.monotonic(),
                tensor_content=True,
                **self._options,
            )
        return tensors.outputs_json(
            response.outputs, in_rows="instances" in given
        )


def error_json(message: str) -> bytes:
    """`{"error": message}`."""
    return _indented({"error": message})


def too_late() -> ServingError:
    """What is said of a request whose time is over."""
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The request took longer than the server's REST timeout.",
    )


def _inputs(loaded: LoadedVersion, name: str) -> requests.Inputs:
    signature = loaded.servable.signature_defs.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid_argument(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found '
            "in signature def"
        )
    if not signature.inputs:
        raise invalid_argument(
            f"Failed to get input map for signature: {name or 'DEFAULT'}"
        )
    inputs: requests.Inputs = signature.inputs
    return inputs


def _decoded(text: str) -> str:
    # Latin-1 stands for the bytes as sent, also where they are UTF-8.
    raw = text.encode("latin-1", "replace")
    return unquote_to_bytes(raw).decode(errors="replace")


def _results(result: Any) -> list[Any]:
    """A number for each example, or its pairs of label and score."""
    if isinstance(result, regression_pb2.RegressionResult):
        return tensors.short_floats([each.value for each in result.regressions])
    rows = [row.classes for row in result.classifications]
    scores = iter(
        tensors.short_floats([each.score for row in rows for each in row])
    )
    return [[[each.label, next(scores)] for each in row] for row in rows]


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


def _field_names(
    given: dict[str, Any], loaded: LoadedVersion, inputs: requests.Inputs
) -> str:
    """Which inputs the fields have that a request names in their place.

    Nothing where no name is a field's, or the model does not tell its fields.
    """
    values = given.get("instances", given.get("inputs"))
    objects = values[:_MOST_ROWS] if isinstance(values, list) else [values]
    names = set().union(*(v for v in objects if isinstance(v, dict)))
    signature = loaded.servable.signature_defs.get(SIGNATURE)
    if (
        names <= set(inputs)
        or signature is None
        or (set(signature.inputs), set(signature.outputs)) != ({ROWS}, {FIELDS})
    ):
        return ""
    asked = {ROWS: tf.make_tensor_proto([b""])}
    with contextlib.suppress(ServingError):
        answer = loaded.servable.run(signature, asked, [FIELDS], _SECONDS)
        told = ServedFields.from_json(b"".join(answer[FIELDS].string_val))
        meant = [
            f"the field '{field.name}' has the input '{field.input}'"
            for field in told.fields
            if field.name in names - set(inputs) and field.input in inputs
        ]
        if len(meant) > _MOST_NAMED:
            meant[_MOST_NAMED:] = [f"{len(meant) - _MOST_NAMED} more"]
        if meant:
            return (
                f" (In this model {', '.join(meant)}; the signature "
                f"'{SIGNATURE}' lists them.)"
            )
    return ""
