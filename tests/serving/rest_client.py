"""An application on a port of its own, and requests to it."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette

from deepfm_tf.serving.rest.server import HttpServer


@contextlib.contextmanager
def serve(application: Starlette) -> Iterator[int]:
    """Serves an application on a free port, which it yields."""
    server = HttpServer(application, 0, grace_seconds=5)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def call(
    port: int,
    path: str,
    body: Any = None,
    verb: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """One request: its status and the JSON of its answer.

    `body` is sent as it is where it is bytes, else as JSON; without a body
    it is a GET.
    """
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    verb = verb or ("GET" if body is None else "POST")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(verb, path, body, headers or {})
        response = connection.getresponse()
        text = response.read()
    if response.headers["content-type"] != "application/json":
        return response.status, text
    return response.status, json.loads(text) if text else None
