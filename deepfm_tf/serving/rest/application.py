"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deepfm_tf.cpus import num_cpus
from deepfm_tf.serving.engine.handlers import Models
from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
    one_line,
)
from deepfm_tf.serving.rest.calls import (
    INFERENCE_METHODS,
    ModelStatus,
    RestCall,
    RestCalls,
    error_json,
    parse_path,
)

MAX_BODY_BYTES = 32 * 1024**2
# All bodies together may take as much as this many of the largest.
_MAX_BODIES = 2
_ROOT = re.compile(r"/v1/.*", re.IGNORECASE)
_HTTP_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
OnAnswer = Callable[[str, str, str, float], None]
_Result = TypeVar("_Result")
_LOG = logging.getLogger(__name__)


def rest_application(
    models: Models,
    *,
    model_status: ModelStatus,
    timeout_seconds: float = 30.0,
    metrics_path: str | None = None,
    metrics_text: Callable[[], bytes] | None = None,
    num_threads: int | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    signature_method_name_check: bool = False,
    on_answer: OnAnswer | None = None,
) -> Starlette:
    """An application for any ASGI server that speaks TF Serving's REST API.

    Each request is read within its time and size, then parsed, run and
    written in one of a fixed number of threads.

    Args:
        models: Models. Where the handlers get their versions from.
        model_status: callable. `(name, version or None, label or None)` to a
            GetModelStatusResponse; raises ServingError.
        timeout_seconds: float. From a request's headers to its answer, its
            body and waiting included; then 504. Defaults to 30.
        metrics_path: str or None. Where `metrics_text` is served, e.g.
            `/monitoring/prometheus/metrics`.
        metrics_text: callable or None. The metrics in Prometheus's format.
        num_threads: int or None. Requests that are answered at once. Defaults
            to four for each CPU.
        max_body_bytes: int. The largest body, before and after gzip; then
            413. All bodies together may take twice this; then 429. Defaults
            to 32 MiB.
        signature_method_name_check: bool. As in `handlers.predict`.
        on_answer: callable or None. Told `(model name, method, name of the
            gRPC code, seconds)` of every request that names a model.

    Returns:
        A Starlette application. Its lifespan ends the threads.
    """
    threads = ThreadPoolExecutor(num_threads or 4 * num_cpus(), "rest")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        threads.shutdown(wait=False, cancel_futures=True)

    async def metrics(_: Request) -> Response:
        # Not in `threads`: they may all be busy when the numbers matter.
        loop = asyncio.get_running_loop()
        return PlainTextResponse(
            await loop.run_in_executor(None, metrics_text or bytes),
            media_type="text/plain; version=0.0.4",
        )

    calls = RestCalls(models, model_status, signature_method_name_check)
    routes = []
    if metrics_path is not None:
        routes.append(Route(metrics_path, metrics))
    endpoint = _Endpoint(
        calls, threads, timeout_seconds, max_body_bytes, on_answer
    )
    routes.append(Route("/{path:path}", endpoint))
    return Starlette(routes=routes, lifespan=lifespan)


class _Endpoint:
    """Everything under /v1/: reads a request, has it answered in a thread."""

    def __init__(
        self,
        calls: RestCalls,
        threads: ThreadPoolExecutor,
        timeout_seconds: float,
        max_body_bytes: int,
        on_answer: OnAnswer | None,
    ) -> None:
        self.calls = calls
        self.threads = threads
        self.timeout_seconds = timeout_seconds
        self.memory = BodyMemory(max_body_bytes)
        self.on_answer = on_answer

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers one request; no error of a client raises here."""
        path = scope["raw_path"].decode("latin-1")
        if not _ROOT.fullmatch(path):
            response: Response = PlainTextResponse("Not Found", 404)
            await response(scope, receive, send)
            return
        begin = time.monotonic()
        headers = {"content-type": "application/json"}
        call: RestCall | None = None
        code = grpc.StatusCode.OK
        try:
            call = parse_path(scope["method"], path)
            request = Request(scope, receive)
            body = await self._answer(
                call, request, begin + self.timeout_seconds
            )
            status = 200
        except ClientDisconnect:
            return
        except ServingError as error:
            code, body = error.code, error_json(error.message)
            status = _HTTP_CODES.get(code, 500)
            if isinstance(error, BodyTooLarge):
                status = 413
            _LOG.info(
                "%s %s: %s %s",
                scope["method"],
                one_line(path[:200]),
                status,
                one_line(error),
            )
        if status in (413, 429, 504):
            # What the client still sends is not worth reading.
            headers["connection"] = "close"
        if call is not None and self.on_answer is not None:
            seconds = time.monotonic() - begin
            self.on_answer(call.name, call.method, code.name, seconds)
        response = Response(body, status, headers)
        await response(scope, receive, send)

    async def _answer(
        self, call: RestCall, request: Request, deadline: float
    ) -> bytes:
        body = RequestBody(self.memory)
        try:
            if call.method in INFERENCE_METHODS:
                await _before(deadline, body.read(request))
            future = self.threads.submit(self._work, call, body, deadline)
        except BaseException:
            body.release()
            raise
        # Not sooner: a thread goes on where its client got a 504.
        future.add_done_callback(lambda _: body.release())
        return await _before(deadline, asyncio.wrap_future(future))

    def _work(
        self, call: RestCall, body: RequestBody, deadline: float
    ) -> bytes:
        """The part of a request that blocks, in a thread."""
        try:
            return self.calls.answer(call, body.unpacked(), deadline)
        except ServingError:
            raise
        except Exception as error:
            _LOG.exception("REST request to %r failed.", call.name)
            raise from_tensorflow(error) from error


class BodyTooLarge(ServingError):
    """Answered 413, which is no gRPC code.

    Args:
        limit: int. Bytes that a body may have.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The body has more than {limit} bytes. Send fewer rows in a "
            "request.",
        )


class BodyMemory:
    """What the bodies of all requests under way may take together.

    Slow clients could otherwise fill the memory with bodies that are almost
    complete; and a body that means to takes 50 times its size when it is
    turned into tensors or examples.

    Args:
        max_body_bytes: int. Of one body, before and after it is unpacked.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self.limit = _MAX_BODIES * max_body_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, num_bytes: int) -> None:
        """Counts bytes that arrived; negative where they are let go.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where there is no room.
        """
        with self._lock:
            if num_bytes > 0 and self._taken + num_bytes > self.limit:
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "The bodies of all requests under way take more than "
                    f"{self.limit} bytes. Try again later.",
                )
            self._taken += num_bytes


class RequestBody:
    """The body of one request.

    Args:
        memory: BodyMemory. Where its bytes are counted until `release`.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._num_bytes = 0
        self._encoding = ""
        self._content: bytes | bytearray = b""

    async def read(self, request: Request) -> None:
        """Takes the bytes as they arrive.

        Raises:
            ServingError: BodyTooLarge, already for the announced length, or
                RESOURCE_EXHAUSTED.
        """
        limit = self._memory.max_body_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            raise BodyTooLarge(limit)
        self._encoding = request.headers.get("content-encoding", "").lower()
        content = bytearray()
        async for chunk in request.stream():
            if len(content) + len(chunk) > limit:
                raise BodyTooLarge(limit)
            self._take(len(chunk))
            content += chunk
        self._content = content

    def unpacked(self) -> bytes | bytearray:
        """The content, without gzip; a bomb is met before it has grown.

        Raises:
            ServingError: BodyTooLarge, or INVALID_ARGUMENT for another
                encoding and for what is not valid gzip.
        """
        if self._encoding in ("", "identity"):
            return self._content
        if self._encoding not in ("gzip", "x-gzip"):
            raise invalid_argument(
                "The body must be JSON, plain or with Content-Encoding: "
                "gzip. Received: Content-Encoding: "
                f"{self._encoding[:40]}."
            )
        limit = self._memory.max_body_bytes
        unpack = zlib.decompressobj(wbits=31)
        try:
            plain = unpack.decompress(self._content, limit + 1)
        except zlib.error as error:
            raise invalid_argument(
                f"The body is not valid gzip: {error}"
            ) from None
        if len(plain) > limit:
            raise BodyTooLarge(limit)
        # More members are refused: each costs a copy of what follows it.
        if not unpack.eof or unpack.unused_data:
            raise invalid_argument("The body must be one complete gzip member.")
        self._take(len(plain))
        return plain

    def release(self) -> None:
        """Gives its room back."""
        self._memory.take(-self._num_bytes)
        self._num_bytes = 0

    def _take(self, num_bytes: int) -> None:
        self._memory.take(num_bytes)
        self._num_bytes += num_bytes


async def _before(deadline: float, work: Awaitable[_Result]) -> _Result:
    """Waits for `work`, which is given up at the deadline."""
    try:
        return await asyncio.wait_for(work, deadline - time.monotonic())
    except asyncio.TimeoutError:
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "The request took longer than the server's REST timeout.",
        ) from None
