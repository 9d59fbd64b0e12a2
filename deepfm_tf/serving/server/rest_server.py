"""The REST API on a port, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
import time
import zlib
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import model_pb2
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from deepfm_tf.serving.connections import Drain, bind
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
    one_line,
)
from deepfm_tf.serving.rest.calls import (
    INFERENCE_METHODS,
    RestCalls,
    error_json,
    parse_path,
    too_late,
)
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

# Of one body, before and after gzip; then 413.
MAX_BODY_BYTES = 32 * 1024**2
# All bodies together may take as much as this many of the largest; then 429.
_MAX_BODIES = 2
# Connections open at once; the next one gets 503.
_MAX_CONNECTIONS = 1024
_KEEP_ALIVE_SECONDS = 75
# Then a connection without a request is closed, or idle ones would use up
# the number above; uvicorn waits for a first request for ever.
FIRST_REQUEST_SECONDS = 20.0
_START_SECONDS = 30.0
_ONE_MEMBER = "The body must be one complete gzip member."
_ROOT = re.compile(r"/v1/.*", re.IGNORECASE)
_CODES = grpc.StatusCode
_HTTP_CODES = {
    _CODES.INVALID_ARGUMENT: 400,
    _CODES.FAILED_PRECONDITION: 400,
    _CODES.OUT_OF_RANGE: 400,
    _CODES.UNAUTHENTICATED: 401,
    _CODES.PERMISSION_DENIED: 403,
    _CODES.NOT_FOUND: 404,
    _CODES.ABORTED: 409,
    _CODES.ALREADY_EXISTS: 409,
    _CODES.RESOURCE_EXHAUSTED: 429,
    _CODES.CANCELLED: 499,
    _CODES.UNIMPLEMENTED: 501,
    _CODES.UNAVAILABLE: 503,
    _CODES.DEADLINE_EXCEEDED: 504,
}
_Result = TypeVar("_Result")
_LOG = logging.getLogger(__name__)


class RestServer:
    """The REST side of a server; a ValueError where it has no port.

    Each request is read within its time and size, then parsed, run and
    written in one of a fixed number of threads.

    `port` is the one it listens on, `drain` what a stop waits for.

    Args:
        store, options: what is served, and how.
        metrics: `Metrics`. Counts every request that names a model.
        metrics_path: str or None. Where the metrics are served.
        grace_seconds: int. Requests under way have this long at a stop.
    """

    def __init__(
        self,
        store: ModelStore,
        options: Options,
        metrics: Metrics,
        metrics_path: str | None = None,
        grace_seconds: int = 25,
    ) -> None:
        self._calls = RestCalls(
            store, options.enable_signature_method_name_check
        )
        self._timeout_seconds = options.rest_api_timeout_in_ms / 1e3
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._bodies = Bodies(MAX_BODY_BYTES)
        self._threads = ThreadPoolExecutor(options.rest_api_num_threads, "rest")
        self.drain = Drain()
        self._has_closed = asyncio.Event()
        self._socket = bind(max(options.rest_api_port, 0), "--rest_api_port")
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            http=_ImpatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,
        )
        self._server = _DrainingServer(config)
        self._server.drain = self.drain
        self._server.has_closed = self._has_closed
        self._thread = threading.Thread(
            target=self._server.run,
            args=([self._socket],),
            name="http",
            daemon=True,
        )

    def start(self) -> None:
        """Take requests; back when it does."""
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                told = f"The REST server did not start on port {self.port}"
                raise RuntimeError(f"{told}; the log says why.")
            time.sleep(0.01)

    def ask_to_stop(self) -> None:
        """Begin to; back at once."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Take no more requests; back when those under way have ended.

        Before that it waits for a moment without requests, 2 seconds at most.
        """
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._socket.close()

    async def _application(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers one request, for ASGI; no error of a client raises here."""
        self.drain.note_call()
        path = scope["raw_path"].decode("latin-1")
        is_read = scope["method"] in ("GET", "HEAD")
        try:
            if is_read and scope["path"] == self._metrics_path:
                # Not in our threads: all may be busy when the numbers matter.
                text = await asyncio.to_thread(self._metrics.text)
                kind = "text/plain; version=0.0.4"
                response: Response = PlainTextResponse(text, media_type=kind)
            elif _ROOT.fullmatch(path):
                response = await self._answer(path, Request(scope, receive))
            else:
                response = PlainTextResponse("Not Found", 404)
        except ClientDisconnect:
            return
        if self.drain.has_begun:
            await self._has_closed.wait()
            response.headers["connection"] = "close"
        self.drain.note_answer()
        await response(scope, receive, send)

    async def _answer(self, path: str, request: Request) -> Response:
        begin = time.monotonic()
        spec, method = model_pb2.ModelSpec(), ""
        code, status = _CODES.OK, 200
        try:
            method, spec = parse_path(request.method, path)
            deadline = begin + self._timeout_seconds
            body = await self._run(method, spec, request, deadline)
        except ClientDisconnect:
            raise
        except Exception as raised:  # a request never ends the process
            error = from_tensorflow(raised)
            code, body = error.code, error_json(error.message)
            status = _HTTP_CODES.get(code, 500)
            if isinstance(error, BodyTooLarge):
                status = 413
            asked = request.method, one_line(path[:200])
            _LOG.info("%s %s: %s %s", *asked, status, one_line(error))
        if method:
            told = method, "REST", code.name, time.monotonic() - begin
            self._metrics.add_request(spec.name, *told)
        headers = {"content-type": "application/json"}
        if status in (413, 429, 504):
            # What the client still sends is not worth reading.
            headers["connection"] = "close"
        return Response(body, status, headers)

    async def _run(
        self,
        method: str,
        spec: model_pb2.ModelSpec,
        request: Request,
        deadline: float,
    ) -> bytes:
        content = bytearray()
        if method in INFERENCE_METHODS:
            content = await _before(deadline, self._bodies.read(request))
        future = self._threads.submit(
            self._calls.answer, method, spec, content, deadline
        )
        # Not sooner: a thread goes on where its client got a 504.
        future.add_done_callback(lambda _: self._bodies.release(content))
        return await _before(deadline, asyncio.wrap_future(future))


class BodyTooLarge(ServingError):
    """Answered 413, which is no gRPC code."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            _CODES.RESOURCE_EXHAUSTED,
            f"The body has more than {limit} bytes. Send fewer rows in a "
            "request.",
        )


class Bodies:
    """Reads bodies, within what those of all requests under way may take.

    Slow clients could otherwise fill the memory with bodies that are almost
    complete; and a body that means to takes 50 times its size when it is
    turned into tensors or examples. One has at most `max_bytes`, before and
    after it is unpacked.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._room = _MAX_BODIES * max_bytes
        self._lock = threading.Lock()

    async def read(self, request: Request) -> bytearray:
        """The content, without gzip; a bomb is met before it has grown.

        BodyTooLarge comes already for the announced length,
        RESOURCE_EXHAUSTED where there is no room.
        """
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)
        encoding = request.headers.get("content-encoding", "").lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise invalid_argument(
                "The body must be JSON, plain or with Content-Encoding: "
                f"gzip. Received: Content-Encoding: {encoding[:40]}."
            )
        unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        content = bytearray()
        with contextlib.ExitStack() as stack:
            stack.callback(self.release, content)
            async for chunk in request.stream():
                if unpack is not None:
                    chunk = await asyncio.to_thread(self._plain, unpack, chunk)
                if len(content) + len(chunk) > self._max_bytes:
                    raise BodyTooLarge(self._max_bytes)
                with self._lock:
                    if len(chunk) > self._room:
                        raise ServingError(
                            _CODES.RESOURCE_EXHAUSTED,
                            "The bodies of all requests in progress take "
                            f"more than {_MAX_BODIES * self._max_bytes} "
                            "bytes. Try again later.",
                        )
                    self._room -= len(chunk)
                content += chunk
            if unpack is not None and not unpack.eof:
                raise invalid_argument(_ONE_MEMBER)
            stack.pop_all()
        return content

    def release(self, content: bytearray) -> None:
        """Gives the room of a body back."""
        with self._lock:
            self._room += len(content)

    def _plain(self, unpack: Any, chunk: bytes) -> bytes:
        """What a chunk holds; in a thread, as that may be a lot."""
        try:
            plain: bytes = unpack.decompress(chunk, self._max_bytes + 1)
        except zlib.error as error:
            told = f"The body is not valid gzip: {error}"
            raise invalid_argument(told) from None
        # More members are refused: each costs a copy of what follows it.
        if unpack.unused_data:
            raise invalid_argument(_ONE_MEMBER)
        return plain


class _DrainingServer(uvicorn.Server):
    """uvicorn's, whose port closes when no more requests are on their way."""

    drain: Drain
    has_closed: asyncio.Event

    async def shutdown(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Drain, then close the port before any answer is sent."""
        self.drain.begin()
        while seconds := self.drain.seconds_left():
            await asyncio.sleep(seconds)
        self.has_closed.set()
        # It closes the port before it lets anything else run.
        await super().shutdown(sockets)


class _ImpatientProtocol(AutoHTTPProtocol):
    """uvicorn's protocol, for clients that soon say what they want."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        """Close what has not sent the whole head of a request."""
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


async def _before(deadline: float, work: Awaitable[_Result]) -> _Result:
    """Waits for `work`, which is given up at the deadline."""
    try:
        return await asyncio.wait_for(work, deadline - time.monotonic())
    except asyncio.TimeoutError:
        raise too_late() from None
