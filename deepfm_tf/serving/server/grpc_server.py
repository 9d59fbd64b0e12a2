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

from deepfm_tf.errors import UserError
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
)
from deepfm_tf.serving.ports import Drain, bind
from deepfm_tf.serving.server.flags import Options, channel_arguments
from deepfm_tf.serving.server.grpc_methods import (
    Method,
    methods,
    model_name,
    num_examples,
    remaining,
    too_late,
)
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

_LOG = logging.getLogger(__name__)
_HEALTH_NAMES = ("", "ModelService", "PredictionService")
# Calls accepted at once, those that wait for their turn or are still being
# received included. The next one gets RESOURCE_EXHAUSTED.
MAX_CONCURRENT_RPCS = 1024
# A request of 100 MB needs a line of 14 Mbit/s for it.
RECEIVE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_STOPPING = "The server is stopping. Ask another one."


class GrpcServer:
    """The gRPC side of a server.

    Args:
        store: `ModelStore`. Lends the models.
        options: `Options`. Ports, threads, channel arguments, health.
        metrics: `Metrics`. Counts every request.
        credentials: grpc.ServerCredentials or None. Of TLS; None is plain.

    Attributes:
        port: int. The one it listens on.
        drain: `Drain`. What a stop waits for.

    Raises:
        ValueError: the credentials or the channel arguments are not usable,
            or the port is taken.
    """

    def __init__(
        self,
        store: ModelStore,
        options: Options,
        metrics: Metrics,
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        self._metrics = metrics
        # A thread for every call, or slow senders would keep out the others;
        # of those that have arrived, a few are worked on at once.
        self._threads = futures.ThreadPoolExecutor(
            MAX_CONCURRENT_RPCS, thread_name_prefix="grpc"
        )
        self._turns = threading.Semaphore(options.grpc_max_threads)
        self._receive_deadline = ReceiveDeadline(RECEIVE_SECONDS)
        self.drain = Drain()
        self._has_closed = threading.Event()
        self._server = grpc.server(
            self._threads,
            options=list(
                {
                    "grpc.max_receive_message_length": -1,
                    "grpc.max_send_message_length": -1,
                    # Or a second server on the port gets half the calls.
                    "grpc.so_reuseport": 0,
                    **channel_arguments(options.grpc_channel_arguments),
                }.items()
            ),
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        )
        for service, found in methods(store, options, metrics).items():
            made = {method.name: self._handler(method) for method in found}
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

        Returns:
            An event that is set when the last one has ended.
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
                if credentials and not ports:
                    # gRPC does not tell a bad key from a taken port.
                    bind(options.port, "--port").close()
                    raise UserError(
                        "--ssl_config_file must hold a server_key and a "
                        "server_cert that belong together, as PEM text. "
                        f"Received: {options.ssl_config_file}, with which "
                        "gRPC opens no port."
                    ) from error
                raise UserError(
                    f"gRPC must be able to listen on {address}. It cannot: "
                    "another server has it, or it is not allowed. Stop that "
                    "one, or choose another with --port or "
                    "--grpc_socket_path."
                ) from error
        return ports[0]

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        """Bytes in, bytes out: parsing is part of what is answered."""

        def behaviour(
            requests: Iterator[bytes], context: grpc.ServicerContext
        ) -> bytes:
            if not self.drain.note_call():
                context.abort(grpc.StatusCode.UNAVAILABLE, _STOPPING)
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
                request = _parse(method.request_type, data)
                answer = self._answer(method, request, context)
            except ServingError as raised:
                error = raised
            except Exception as raised:  # a request never ends the process
                error = from_tensorflow(raised)
                if error.code == grpc.StatusCode.INTERNAL:
                    _LOG.exception("%s failed.", method.name)
            seconds = time.perf_counter() - begin
            self._note(method, request, context, error, seconds)
            self._hold_back(context)
            if error is not None:
                context.abort(error.code, error.message)
            return answer

        # On the wire a stream of one request is a unary call; here it gives
        # the context while the request is still on its way.
        return grpc.stream_unary_rpc_method_handler(behaviour)

    def _hold_back(self, context: grpc.ServicerContext) -> None:
        """Let no answer go while the server waits for the last calls."""
        if self.drain.has_begun:
            seconds = self.drain.longest_hold(context.time_remaining())
            self._has_closed.wait(seconds)
        self.drain.note_answer()

    def _answer(
        self,
        method: Method,
        request: message.Message,
        context: grpc.ServicerContext,
    ) -> bytes:
        """The serialized response, in turn."""
        with contextlib.ExitStack() as stack:
            # A reload may wait for long, and a probe must not wait at all.
            if method.takes_turn:
                if not self._turns.acquire(timeout=remaining(context)):
                    raise too_late()
                stack.callback(self._turns.release)
            answer: bytes = method.respond(request, context).SerializeToString()
        return answer

    def _note(
        self,
        method: Method,
        request: Any,
        context: grpc.ServicerContext,
        error: ServingError | None,
        seconds: float,
    ) -> None:
        """Count it, and write a line about it."""
        name = model_name(request)
        status = error.code.name if error else "OK"
        if method.api:
            self._metrics.add_request(name, method.api, "GRPC", status, seconds)
            examples = num_examples(request) if request else None
            if examples is not None and not error:
                self._metrics.add_examples(name, examples)
        level = logging.WARNING if error else logging.DEBUG
        if _LOG.isEnabledFor(level):
            _LOG.log(
                level,
                "%s model=%r peer=%s ms=%.1f %s %r",
                method.name,
                name,
                context.peer(),
                seconds * 1e3,
                status,
                error.message if error else "",
            )


class ReceiveDeadline:
    """Cancels calls whose request does not arrive in time.

    gRPC has deadlines of the client's, but none for a client that sends
    half a message and then nothing: it would keep its place for ever.

    Args:
        seconds: float. What a whole request may take to arrive.

    Example:
        deadline = ReceiveDeadline(60.0)
        with deadline.waiting(context):
            data = next(request_iterator)
        deadline.stop()
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        # In the order of their ends, as all wait equally long.
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
    """The request; bytes that are none are the client's fault."""
    try:
        return request_type.FromString(data)
    except message.DecodeError as error:
        raise invalid_argument(
            f"The bytes must be a {request_type.DESCRIPTOR.full_name}. "
            f"Received: {len(data)} bytes that cannot be parsed ({error})."
        ) from error
