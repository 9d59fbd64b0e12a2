"""An ASGI application on a port, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from deepfm_tf.serving.ports import Drain, bind

# Connections open at once; the next one gets 503.
_MAX_CONNECTIONS = 1024
_KEEP_ALIVE_SECONDS = 75
# Then a connection without a request is closed, or idle ones would use up
# the number above; uvicorn waits for a first request for ever.
FIRST_REQUEST_SECONDS = 20.0
_START_SECONDS = 30.0
_CLOSE = (b"connection", b"close")


class HttpServer:
    """Runs an application with uvicorn until stopped.

    Args:
        application: ASGI application.
        port: int. On all interfaces; 0 picks a free one.
        grace_seconds: int. Requests under way have this long at a stop.

    Attributes:
        port: int. The one it listens on.
        drain: `Drain`. What a stop waits for.

    Raises:
        ValueError: the port is taken or not allowed.
    """

    def __init__(
        self, application: ASGIApp, port: int, grace_seconds: int
    ) -> None:
        self._socket = bind(port, "--rest_api_port")
        self.port: int = self._socket.getsockname()[1]
        held_back = _HeldBack(application)
        self.drain = held_back.drain
        self._server = _DrainingServer(
            held_back,
            uvicorn.Config(
                held_back,
                http=_ImpatientProtocol,
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=grace_seconds,
            ),
        )
        self._thread = threading.Thread(
            target=self._server.run,
            args=([self._socket],),
            name="http",
            daemon=True,
        )

    def start(self) -> None:
        """Take requests; back when it does.

        Raises:
            RuntimeError: it did not start.
        """
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RuntimeError(
                    f"The REST server did not start on port {self.port}; the "
                    "log says why."
                )
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
        self._socket.close()


class _HeldBack:
    """An application whose answers wait while its server drains."""

    def __init__(self, application: ASGIApp) -> None:
        self.application = application
        self.drain = Drain()
        self.has_closed = asyncio.Event()

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """As the application's, for ASGI."""

        async def hold_back(message: Message) -> None:
            if message["type"] == "http.response.start":
                if self.drain.has_begun:
                    await self.has_closed.wait()
                    headers = [*message.get("headers", []), _CLOSE]
                    message = {**message, "headers": headers}
                self.drain.note_answer()
            await send(message)

        if scope["type"] == "http":
            self.drain.note_call()
        await self.application(scope, receive, hold_back)


class _DrainingServer(uvicorn.Server):
    """uvicorn's, whose port closes when no more requests are on their way."""

    def __init__(self, held_back: _HeldBack, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._held_back = held_back

    async def shutdown(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Drain, then close the port before any answer is sent."""
        self._held_back.drain.begin()
        while seconds := self._held_back.drain.seconds_left():
            await asyncio.sleep(seconds)
        self._held_back.has_closed.set()
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
