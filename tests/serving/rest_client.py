"""An application under uvicorn in a thread, and requests to it."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette


@contextlib.contextmanager
def serve(application: Starlette) -> Iterator[int]:
    """Serves an application on a free port of localhost, which it yields."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(application, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}
        )
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "The server did not start."
                time.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def call(
    port: int,
    path: str,
    body: Any = None,
    verb: str | None = None,
    headers: dict[str, str] | None = None,
    host: str = "127.0.0.1",
) -> tuple[int, Any]:
    """One request: its status and the JSON of its answer.

    `body` is sent as it is where it is bytes, else as JSON; without a body
    it is a GET.
    """
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    verb = verb or ("GET" if body is None else "POST")
    connection = http.client.HTTPConnection(host, port, timeout=30)
    with contextlib.closing(connection):
        connection.request(verb, path, body, headers or {})
        response = connection.getresponse()
        text = response.read()
    if response.headers["content-type"] != "application/json":
        return response.status, text
    return response.status, json.loads(text) if text else None
