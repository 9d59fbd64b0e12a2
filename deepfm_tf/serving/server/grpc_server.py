"""PredictionService, ModelService and health over gRPC."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.errors import UserError
from deepfm_tf.serving.connections import Drain, bind
from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.handlers import require_model_spec
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
)
from deepfm_tf.serving.server.flags import Options, channel_arguments
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

# Each service's methods, and what they are sent.
SERVICES: dict[str, dict[str, type[message.Message]]] = {
    "tensorflow.serving.PredictionService": {
        "Predict": predict_pb2.PredictRequest,
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
        "MultiInference": inference_pb2.MultiInferenceRequest,
        "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
        "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
    },
}
# Those that run a model; what they are called in the metrics and in `handlers`.
_RUNS = {"Predict": "predict", "Classify": "classify"}
_RUNS |= {"Regress": "regress", "MultiInference": "multi_inference"}
_HEALTH_NAMES = ("", "ModelService", "PredictionService")
# Calls accepted at once, those that wait for their turn or are still being
# received included. The next one gets RESOURCE_EXHAUSTED.
MAX_CONCURRENT_RPCS = 1024
# A request of 100 MB needs a line of 14 Mbit/s for it.
RECEIVE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_FOREVER_SECONDS = 1e9  # "no deadline" arrives as some centuries
_LOG = logging.getLogger(__name__)


class GrpcServer:
    """The gRPC side of a server.

    A ValueError where the credentials (None is plain) or the channel
    arguments are not usable, or the port is taken. `port` is the one it
    listens on, `drain` what a stop waits for.
    """

    def __init__(
        self,
        store: ModelStore,
        options: Options,
        metrics: Metrics,
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        self._store = store
        self._options = options
        self._metrics = metrics
        # A thread for every call, or slow senders would keep out the others;
        # of those that have arrived, a few are worked on at once.
        threads = futures.ThreadPoolExecutor(MAX_CONCURRENT_RPCS, "grpc")
        self._turns = threading.Semaphore(options.grpc_max_threads)
        self._receive_deadline = ReceiveDeadline(RECEIVE_SECONDS)
        self.drain = Drain()
        self._has_closed = threading.Event()
        arguments: dict[str, int | str] = {
            "grpc.max_receive_message_length": -1,
            "grpc.max_send_message_length": -1,
            # Or a second server on the port gets half the calls.
            "grpc.so_reuseport": 0,
            **channel_arguments(options.grpc_channel_arguments),
        }
        self._server = grpc.server(
            threads,
            options=list(arguments.items()),
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        )
        for service, kinds in SERVICES.items():
            made = {name: self._handler(name, kinds[name]) for name in kinds}
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
        self.port = self._listen(options, credentials)

    def start(self) -> None:
        """Take requests."""
        self._server.start()
        if self._health:
            for name in _HEALTH_NAMES:
                self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float) -> threading.Event:
        """Take no more requests; those under way have `grace` seconds.

        Before that it waits for a moment without calls, 2 seconds at most,
        unless `grace` is 0: gRPC cancels what has arrived and has no thread.
        The event is set when the last one has ended.
        """
        if self._health:
            self._health.enter_graceful_shutdown()
        self._receive_deadline.stop()
        if grace and not self._has_closed.is_set():
            self.drain.begin()
            while seconds := self.drain.seconds_left():
                time.sleep(seconds)
        ended: threading.Event = self._server.stop(grace)
        self._has_closed.set()
        return ended

    def _listen(
        self, options: Options, credentials: grpc.ServerCredentials | None
    ) -> int:
        """Bind the addresses; the TCP port."""
        addresses = [f"0.0.0.0:{options.port}"]
        if options.grpc_socket_path:
            addresses.append(f"unix:{options.grpc_socket_path}")
        ports: list[int] = []
        for address in addresses:
            try:
                ports.append(
                    self._server.add_secure_port(address, credentials)
                    if credentials
                    else self._server.add_insecure_port(address)
                )
            except RuntimeError as error:
                # gRPC does not tell a bad key from a taken port.
                bind(0 if ports else options.port, "--port").close()
                raise UserError(
                    f"gRPC must be able to listen on {address}. It cannot. "
                    "Check --grpc_socket_path, or that server_key and "
                    "server_cert in --ssl_config_file belong together."
                ) from error
        return ports[0]

    def _answer(
        self, name: str, request: Any, context: grpc.ServicerContext
    ) -> message.Message:
        """What a method responds."""
        if name in _RUNS:
            return self._run(name, request, context)
        if name == "GetModelMetadata":
            return handlers.get_model_metadata(self._store, request)
        if name == "HandleReloadConfigRequest":
            return self._reload(request, context)
        # A label is ignored, as TensorFlow Serving does.
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=self._store.status(require_model_spec(request))
        )

    def _run(
        self, name: str, request: Any, context: grpc.ServicerContext
    ) -> message.Message:
        """A model, when it is the request's turn.

        Other methods take no turn: a reload may wait for long, and a probe
        must not wait at all.
        """
        check = self._options.enable_signature_method_name_check
        given = {"signature_method_name_check": check}
        if name == "Predict":
            as_content = self._options.enable_serialization_as_tensor_content
            given["tensor_content"] = as_content
        while not self._turns.acquire(timeout=_remaining(context)):
            continue  # which ends, as nothing remains
        begin = time.perf_counter()
        try:
            response: message.Message = getattr(handlers, _RUNS[name])(
                self._store, request, _remaining(context), **given
            )
        finally:
            self._turns.release()
        seconds = time.perf_counter() - begin
        self._metrics.add_run(_model_name(request), name, seconds)
        return response

    def _reload(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serve what a request says; answers once new ones are available."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by "
                "HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        self._store.reload(request.config, lambda: not context.is_active())
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response

    def _handler(
        self, name: str, request_type: type[message.Message]
    ) -> grpc.RpcMethodHandler:
        """A method: bytes in, bytes out, as parsing is answered as well."""

        def behaviour(
            requests: Iterator[bytes], context: grpc.ServicerContext
        ) -> bytes:
            if not self.drain.note_call():
                context.abort(
                    grpc.StatusCode.UNAVAILABLE,
                    "The server is stopping. Ask another one.",
                )
            try:
                with self._receive_deadline.waiting(context):
                    data = next(requests)
            except (StopIteration, grpc.RpcError):
                return b""  # the client has gone, or was sent away
            begin = time.perf_counter()
            request: Any = None
            answer = b""
            error: ServingError | None = None
            try:
                request = _parse(request_type, data)
                response = self._answer(name, request, context)
                answer = response.SerializeToString()
            except Exception as raised:  # a request never ends the process
                error = from_tensorflow(raised)
            seconds = time.perf_counter() - begin
            self._note(name, request, context, error, seconds)
            self._hold_back(context)
            if error is not None:
                context.abort(error.code, error.message)
            return answer

        # On the wire a stream of one request is a unary call; here it gives
        # the context while the request is still on its way.
        return grpc.stream_unary_rpc_method_handler(behaviour)

    def _note(
        self,
        name: str,
        request: Any,
        context: grpc.ServicerContext,
        error: ServingError | None,
        seconds: float,
    ) -> None:
        """Count it, and write a line about it."""
        model = _model_name(request)
        status = error.code.name if error else "OK"
        if name in _RUNS:
            api = _RUNS[name]
            self._metrics.add_request(model, api, "GRPC", status, seconds)
            sent = getattr(request, "input", None)
            if sent is not None and not error:
                examples = getattr(sent, sent.WhichOneof("kind")).examples
                self._metrics.add_examples(model, len(examples))
        level = logging.WARNING if error else logging.DEBUG
        if _LOG.isEnabledFor(level):
            _LOG.log(
                level,
                "%s model=%r peer=%s ms=%.1f %s %r",
                *(name, model, context.peer(), seconds * 1e3),
                *(status, error.message if error else ""),
            )

    def _hold_back(self, context: grpc.ServicerContext) -> None:
        """Let no answer go while the server waits for the last calls."""
        if self.drain.has_begun:
            seconds = self.drain.longest_hold(context.time_remaining())
            self._has_closed.wait(seconds)
        self.drain.note_answer()


class ReceiveDeadline:
    """Cancels calls whose request does not arrive in time.

    gRPC has deadlines of the client's, but none for a client that sends
    half a message and then nothing: it would keep its place for ever.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: dict[grpc.ServicerContext, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="receive-deadline", daemon=True
        )
        self._thread.start()

    @contextlib.contextmanager
    def waiting(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Have this call cancelled if the block takes too long."""
        with self._lock:
            self._waiting[context] = time.monotonic() + self._seconds
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[context]

    def stop(self) -> None:
        """Cancel nothing more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """Look from time to time."""
        while not self._stopped.wait(min(_LOOK_SECONDS, self._seconds)):
            now = time.monotonic()
            with self._lock:
                late = [c for c, end in self._waiting.items() if end < now]
            for context in late:
                context.cancel()


def _parse(request_type: type[message.Message], data: bytes) -> message.Message:
    try:
        return request_type.FromString(data)
    except message.DecodeError as error:
        raise invalid_argument(
            f"The bytes must be a {request_type.DESCRIPTOR.full_name}. "
            f"Received: {len(data)} bytes that cannot be parsed ({error})."
        ) from error


def _remaining(context: grpc.ServicerContext) -> float | None:
    """Seconds to the client's deadline; None where it has none."""
    seconds: float | None = context.time_remaining()
    if seconds is None or seconds > _FOREVER_SECONDS:
        return None
    if seconds <= 0:
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "The deadline passed before the request was worked on.",
        )
    return seconds


def _model_name(request: Any) -> str:
    """The model that a request is about, for the log and the metrics."""
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        request = request.tasks[0] if request.tasks else None
    spec = getattr(request, "model_spec", None)
    return spec.name if spec else ""
