"""An application on a port of its own."""

import asyncio
import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request

import pytest

from deepfm_tf.serving.rest import server as http_server
from deepfm_tf.serving.rest.server import HttpServer


class Application:
    """Answers 200 once the gate is open."""

    def __init__(self):
        self.entered, self.gate = threading.Event(), threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        self.entered.set()
        await asyncio.to_thread(self.gate.wait, 20)
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )
        await send({"type": "http.response.body", "body": b"yes"})


def get(port):
    return urllib.request.urlopen(f"http://localhost:{port}/", timeout=20)


def test_requests_under_way_are_answered_at_a_stop():
    application = Application()
    server = HttpServer(application, 0, grace_seconds=20)
    server.start()
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(get(server.port).read())
    )
    client.start()
    assert application.entered.wait(20)

    stopping = threading.Thread(target=server.stop)
    stopping.start()
    application.gate.set()
    stopping.join(20)
    client.join(20)

    assert answers == [b"yes"]
    with pytest.raises(urllib.error.URLError):
        get(server.port)


def test_a_stop_answers_the_next_request_of_a_connection():
    """Of a connection that is kept alive, and was reset before."""
    application = Application()
    application.gate.set()
    server = HttpServer(application, 0, grace_seconds=20)
    server.start()
    connection = http.client.HTTPConnection("localhost", server.port, 20)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"yes"
        drain, is_late = server.drain, threading.Event()
        drain.seconds_left = lambda: 0.0 if is_late.is_set() else 0.01

        stopping = threading.Thread(target=server.stop)
        stopping.start()
        while not drain.has_begun:
            assert stopping.is_alive()
        application.entered.clear()
        connection.request("GET", "/")
        assert application.entered.wait(20)
        is_late.set()
        response = connection.getresponse()

        assert response.read() == b"yes"
        assert response.headers["connection"] == "close"
    stopping.join(20)


def test_connections_without_a_request_are_closed(monkeypatch):
    monkeypatch.setattr(http_server, "FIRST_REQUEST_SECONDS", 0.1)
    server = HttpServer(Application(), 0, grace_seconds=1)
    server.start()

    with socket.create_connection(("localhost", server.port), 20) as silent:
        silent.sendall(b"GET / HT")
        received = silent.recv(100)

    assert received == b""
    server.stop()


def test_a_taken_port_is_explained():
    server = HttpServer(Application(), 0, grace_seconds=1)
    server.start()

    with pytest.raises(ValueError, match="another port with --rest_api_port"):
        HttpServer(Application(), server.port, grace_seconds=1)

    server.stop()
