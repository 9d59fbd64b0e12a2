"""The REST server on a port of its own, and requests to it."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.server.rest_server import RestServer


@contextlib.contextmanager
def serve(
    store: Any, metrics_path: str | None = None, **options: Any
) -> Iterator[RestServer]:
    """Answers for these models on a free port, `.port`."""
    metrics = Metrics()
    server = RestServer(store, Options(**options), metrics, metrics_path, 5)
    server.metrics = metrics
    server.start()
    try:
        yield server
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
