"""PredictionService, ModelService and health over gRPC."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
)

from deepfm_tf.serving import handlers
from deepfm_tf.serving.config import message_type, read_text_proto
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
)
from deepfm_tf.serving.flags import Options
from deepfm_tf.serving.manager import ModelManager
from deepfm_tf.serving.metrics import Metrics
from deepfm_tf.serving.model_service import get_model_status, reload_config

_LOG = logging.getLogger(__name__)
_Method = tuple[type[message.Message], Callable[..., message.Message]]
_MODEL_SERVICE = "tensorflow.serving.ModelService"
_THREAD_POOL = "experimental_thread_pool"  # grpcio's name for such a pool
_HEALTH_NAMES = ("", "ModelService", "PredictionService")
# Calls accepted at once, those that wait for a thread included; their
# messages are read only by then. The next one gets RESOURCE_EXHAUSTED.
_MAX_CONCURRENT_RPCS = 1024
_FOREVER_SECONDS = 1e9  # "no deadline" arrives as some centuries
_MODEL_SERVICE_THREADS = 4


class GrpcServer:
    """The gRPC side of a server.

    Args:
        manager: `ModelManager`. Lends the models.
        options: `Options`. Ports, TLS, threads, channel arguments, health.
        metrics: `Metrics`. Counts every request.

    Raises:
        ValueError: the TLS file or the channel arguments are not usable, or
            the port is taken.
    """

    def __init__(
        self, manager: ModelManager, options: Options, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._threads = futures.ThreadPoolExecutor(
            options.grpc_max_threads, thread_name_prefix="grpc"
        )
        # A reload may wait for long, and a probe must not wait at all.
        self._model_threads = futures.ThreadPoolExecutor(
            _MODEL_SERVICE_THREADS, thread_name_prefix="grpc-model"
        )
        self._server = grpc.server(
            self._threads,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                # Or a second server on the port would get half the calls.
                ("grpc.so_reuseport", 0),
                *_channel_arguments(options.grpc_channel_arguments),
            ],
            maximum_concurrent_rpcs=_MAX_CONCURRENT_RPCS,
        )
        for service, methods in _methods(manager, options).items():
            made = {
                name: self._handler(service, name, request, respond)
                for name, (request, respond) in methods.items()
            }
            self._server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(service, made)]
            )
            self._server.add_registered_method_handlers(service, made)
        self._health: health.HealthServicer | None = None
        if options.enable_grpc_healthcheck_service:
            self._health = health.HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(
                self._health, self._server
            )
        self.port = self._listen(options)

    def start(self) -> None:
        """Take requests."""
        self._server.start()
        if self._health:
            for name in _HEALTH_NAMES:
                self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float) -> threading.Event:
        """Take no more requests; those under way have `grace` seconds.

        Returns:
            An event that is set when the last one has ended.
        """
        if self._health:
            self._health.enter_graceful_shutdown()
        return self._server.stop(grace)

    def _listen(self, options: Options) -> int:
        """Bind the addresses; the TCP port."""
        credentials = _credentials(options.ssl_config_file)
        addresses = [f"0.0.0.0:{options.port}"]
        if options.grpc_socket_path:
            addresses.append(f"unix:{options.grpc_socket_path}")
        ports = []
        for address in addresses:
            try:
                ports.append(
                    self._server.add_secure_port(address, credentials)
                    if credentials
                    else self._server.add_insecure_port(address)
                )
            except RuntimeError as error:
                raise ValueError(
                    f"gRPC must be able to listen on {address}. It cannot: "
                    "another server has it, or it is not allowed. Stop that "
                    "one, or choose another with --port or "
                    "--grpc_socket_path."
                ) from error
        return ports[0]

    def _handler(
        self,
        service: str,
        method: str,
        request_type: type[message.Message],
        respond: Callable[..., message.Message],
    ) -> grpc.RpcMethodHandler:
        """Bytes in, bytes out: parsing is part of what is answered."""
        api = _snake(method)

        def behaviour(data: bytes, context: grpc.ServicerContext) -> bytes:
            begin = time.perf_counter()
            request: Any = None
            answer = b""
            error: ServingError | None = None
            try:
                request = _parse(request_type, data)
                answer = respond(request, context).SerializeToString()
            except ServingError as raised:
                error = raised
            except Exception as raised:  # a request never ends the process
                error = from_tensorflow(raised)
                if error.code == grpc.StatusCode.INTERNAL:
                    _LOG.exception("%s failed.", method)
            name = _model_name(request)
            status = error.code.name if error else "OK"
            seconds = time.perf_counter() - begin
            self._metrics.add_request(name, api, "GRPC", status, seconds)
            if error is None:
                _LOG.debug(
                    "%s model=%r peer=%s bytes=%d ms=%.1f",
                    method,
                    name,
                    context.peer(),
                    len(data),
                    seconds * 1e3,
                )
                return answer
            _LOG.warning(
                "%s model=%r peer=%s: %s %r",
                method,
                name,
                context.peer(),
                status,
                error.message,
            )
            context.abort(error.code, error.message)
            raise AssertionError("abort has raised")

        if service == _MODEL_SERVICE:
            setattr(behaviour, _THREAD_POOL, self._model_threads)
        return grpc.unary_unary_rpc_method_handler(behaviour)


def _methods(
    manager: ModelManager, options: Options
) -> dict[str, dict[str, _Method]]:
    """Service to method to what it is sent and how it is answered."""
    check = options.enable_signature_method_name_check
    content = options.enable_serialization_as_tensor_content

    return {
        "tensorflow.serving.PredictionService": {
            "Predict": (
                predict_pb2.PredictRequest,
                lambda request, context: handlers.predict(
                    manager,
                    request,
                    _remaining(context),
                    signature_method_name_check=check,
                    tensor_content=content,
                ),
            ),
            "GetModelMetadata": (
                get_model_metadata_pb2.GetModelMetadataRequest,
                lambda request, _: handlers.get_model_metadata(
                    manager, request
                ),
            ),
        },
        _MODEL_SERVICE: {
            "GetModelStatus": (
                get_model_status_pb2.GetModelStatusRequest,
                lambda request, _: get_model_status(manager, request),
            ),
            "HandleReloadConfigRequest": (
                model_management_pb2.ReloadConfigRequest,
                lambda request, context: reload_config(
                    manager, request, lambda: not context.is_active()
                ),
            ),
        },
    }


def _remaining(context: grpc.ServicerContext) -> float | None:
    """Seconds to the client's deadline; None where it has none."""
    seconds = context.time_remaining()
    if seconds is None or seconds > _FOREVER_SECONDS:
        return None
    if seconds <= 0:
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "The deadline passed before the request was worked on.",
        )
    return seconds


def _parse(request_type: type[message.Message], data: bytes) -> message.Message:
    """The request; bytes that are none are the client's fault."""
    try:
        return request_type.FromString(data)
    except message.DecodeError as error:
        raise invalid_argument(
            f"The bytes must be a {request_type.DESCRIPTOR.full_name}. "
            f"Received: {len(data)} bytes that cannot be parsed ({error})."
        ) from error


def _model_name(request: Any) -> str:
    """The model that a request is about, for the log and the metrics."""
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return request.tasks[0].model_spec.name if request.tasks else ""
    spec = getattr(request, "model_spec", None)
    return spec.name if spec else ""


def _snake(name: str) -> str:
    """`GetModelStatus` -> `get_model_status`: the label of the metrics."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """`key=value,key=value`; whole numbers become such."""
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise ValueError(
                "--grpc_channel_arguments must be key=value,key=value. "
                f"Received: {pair!r} in it."
            )
        is_int = re.fullmatch(r"-?[0-9]+", value)
        arguments.append((key, int(value) if is_int else value))
    return arguments


def _credentials(path: str) -> grpc.ServerCredentials | None:
    """What the TLS file says; None without one."""
    if not path:
        return None
    config: Any = read_text_proto(path, message_type("SSLConfig")())
    if not (config.server_key and config.server_cert):
        raise ValueError(
            "--ssl_config_file must hold server_key and server_cert, as PEM "
            f"text. Received: {path} without."
        )
    if config.client_verify and not config.custom_ca:
        raise ValueError(
            "--ssl_config_file must hold custom_ca, the PEM text of the "
            "authority that signs the clients, where client_verify is true. "
            f"Received: {path} without."
        )
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
