"""Bounds, deadlines, drain and errors of REST over HTTP."""

import asyncio
import contextlib
import gzip
import http.client
import json
import logging
import os
import socket
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.requests import Request
from tensorflow_serving.apis import get_model_status_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server import rest_server
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.server.rest_server import Bodies, RestServer
from tests.serving.rest_client import call, serve
from tests.serving.toy_model import COLUMNS


def zipped(data, level=9):
    """The same bytes at any time: they are in the names of tests."""
    return gzip.compress(data, level, mtime=0)


PREDICT = "/v1/models/toy:predict"
MAX_BODY_BYTES = 100_000
EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
PREDICTION = json.dumps({"inputs": COLUMNS}).encode()


class Store:
    """Lends the toy."""

    def __init__(self, models):
        self.acquire = models.acquire

    def status(self, model_spec):
        if model_spec.name != "toy":
            raise ServingError(grpc.StatusCode.NOT_FOUND, "Could not find any")
        return [get_model_status_pb2.ModelVersionStatus(version=1, state=30)]


@pytest.fixture(scope="module")
def server(toy_models):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest_server, "MAX_BODY_BYTES", MAX_BODY_BYTES)
        with serve(Store(toy_models)) as server:
            yield server


@pytest.fixture(scope="module")
def port(server):
    return server.port


def head(content_length):
    """The beginning of a request whose body a test sends by hand."""
    lines = f"POST {PREDICT} HTTP/1.1", "Host: x", "Content-Length: "
    return ("\r\n".join(lines) + f"{content_length}\r\n\r\n").encode()


class BrokenStore:
    """Raises what a test gives it; waits first where it is told to."""

    def __init__(self, error=None):
        self.error, self.num_asked = error, 0
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.let_go.set()

    @contextlib.contextmanager
    def acquire(self, model_spec):
        self.num_asked += 1
        self.entered.set()
        self.let_go.wait(10)
        raise self.error
        yield


@pytest.fixture(scope="module")
def broken_store():
    return BrokenStore()


@pytest.fixture(scope="module")
def broken_port(broken_store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest_server, "MAX_BODY_BYTES", 1000)
        given = {"rest_api_timeout_in_ms": 300, "rest_api_num_threads": 1}
        with serve(broken_store, **given) as server:
            yield server.port


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (PREDICT, PREDICTION, ("toy", "predict", "REST", "OK")),
        (PREDICT, {}, ("toy", "predict", "REST", "INVALID_ARGUMENT")),
        (PREDICT, b"x" * (MAX_BODY_BYTES + 1),
         ("toy", "predict", "REST", "RESOURCE_EXHAUSTED")),
        ("/v1/models/no", None,
         ("no", "get_model_status", "REST", "NOT_FOUND")),
        ("/v1/", None, None),
    ],
    ids=range(5),
)  # fmt: skip
def test_answers_are_counted(server, monkeypatch, path, body, expected):
    told = []
    monkeypatch.setattr(
        server.metrics, "add_request", lambda *each: told.append(each)
    )

    call(server.port, path, body)

    assert [each[:4] for each in told] == [expected] * bool(expected)
    assert all(0 < each[4] < 10 for each in told)


def test_the_query_is_not_part_of_the_path(port):
    assert call(port, "/v1/models/toy?x=%2f:")[0] == 200


@pytest.mark.parametrize("path", ["/", "/v2/models/toy", "/v1", "/metrics"])
def test_paths_elsewhere_are_not_found(port, path):
    assert call(port, path) == (404, b"Not Found")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400), ("FAILED_PRECONDITION", 400),
        ("OUT_OF_RANGE", 400), ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403), ("NOT_FOUND", 404), ("ABORTED", 409),
        ("ALREADY_EXISTS", 409), ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499), ("UNIMPLEMENTED", 501), ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504), ("UNKNOWN", 500), ("INTERNAL", 500),
        ("DATA_LOSS", 500),
    ],
)  # fmt: skip
def test_codes_map_to_http(broken_port, broken_store, code, status):
    broken_store.error = ServingError(grpc.StatusCode[code], "a text")

    answer = call(broken_port, PREDICT, {"instances": [1]})

    assert answer == (status, {"error": "a text"})


def test_a_bug_is_answered_and_logged(broken_port, broken_store, caplog):
    broken_store.error = KeyError("oops")

    status, answer = call(broken_port, PREDICT, {"instances": [1]})

    assert (status, answer) == (500, {"error": "KeyError: 'oops'"})
    assert "A request failed: KeyError: 'oops'\nTraceback" in caplog.text


def test_a_refusal_is_one_line_of_the_log(broken_port, broken_store, caplog):
    broken_store.error = ServingError(
        grpc.StatusCode.INVALID_ARGUMENT, "it's\n  [[node]] \x1b[31m"
    )

    with caplog.at_level(logging.INFO, "deepfm_tf.serving.server.rest_server"):
        call(broken_port, PREDICT, {"instances": [1]})

    assert caplog.messages[-1] == (
        f"POST {PREDICT}: 400 INVALID_ARGUMENT: it's [[node]] \\x1b[31m"
    )


def test_a_late_answer_is_a_timeout(broken_port, broken_store):
    broken_store.error = RuntimeError("too late to matter")
    broken_store.let_go.clear()
    broken_store.num_asked = 0

    status, answer = call(broken_port, PREDICT, {"instances": [1]})
    waiting, _ = call(broken_port, PREDICT, {"instances": [1]})
    num_asked = broken_store.num_asked
    broken_store.let_go.set()

    assert status == 504
    assert "longer than the server's REST timeout" in answer["error"]
    # The one thread was still busy with the first.
    assert (waiting, num_asked) == (504, 1)


def test_a_slow_body_is_a_timeout(broken_port):
    with socket.create_connection(("127.0.0.1", broken_port), 20) as client:
        client.settimeout(5)
        client.sendall(head(9) + b"{")

        answer = client.recv(1000)

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"connection: close" in answer


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_a_bound(port, chunked):
    body = b"x" * (MAX_BODY_BYTES + 1)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    status, answer = call(port, PREDICT, body, headers=headers)

    assert status == 413
    assert "more than 100000 bytes" in answer["error"]


@pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, 99_999_999_999])
def test_an_announced_body_is_refused_before_it_comes(port, length):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.settimeout(5)
        client.sendall(head(length))

        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_all_bodies_together_have_a_bound(broken_port, broken_store):
    broken_store.error = ServingError(grpc.StatusCode.NOT_FOUND, "none")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", broken_port), 20)
            )
            client.settimeout(5)
            client.sendall(head(1000) + b" " * 999)

        assert client.recv(1000).startswith(b"HTTP/1.1 429 ")
    # The others time out and give back what they held.
    deadline = time.monotonic() + 5
    while call(broken_port, PREDICT, {"instances": [1]})[0] == 429:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (zipped(PREDICTION), "gzip", 200, None),
        (zipped(PREDICTION), "X-GZIP", 200, None),
        (PREDICTION, "identity", 200, None),
        (zipped(b"[" * 10**7)[:90_000], "gzip", 413, "more than 100000"),
        (zipped(b" " * MAX_BODY_BYTES), "gzip", 400, "document is empty"),
        (zipped(b" " * (MAX_BODY_BYTES + 1)), "gzip", 413, "more than 100000"),
        (b"not gzip", "gzip", 400, "not valid gzip"),
        (b"", "gzip", 400, "one complete gzip member"),
        (zipped(b"{}")[:-4], "gzip", 400, "one complete gzip member"),
        (zipped(b"{}") * 2, "gzip", 400, "one complete gzip member"),
        (PREDICTION, "br", 400, "Received: Content-Encoding: br."),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_gzip_is_bounded_and_checked(port, body, encoding, status, message):
    found, answer = call(
        port, PREDICT, body, headers={"Content-Encoding": encoding}
    )

    assert found == status
    assert message is None or message in answer["error"]


@pytest.mark.parametrize("depth", [500, 990, 49_000])
@pytest.mark.parametrize("key", ["instances", "inputs", "x"])
def test_deep_nesting_is_the_clients_fault(port, depth, key):
    body = f'{{"{key}": {"[" * depth}{"]" * depth}}}'.encode()

    assert call(port, PREDICT, body)[0] == 400


def test_a_client_that_hangs_up_leaves_the_server_alive(port):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(head(9) + b"{")

    assert call(port, "/v1/models/toy")[0] == 200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a", {"b64": "YQ=="}, {"b64": "*"}]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["c0", "c1", "c2", "n0", "n1", "x", ""]), inner
        )
    ),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=50),
    st.fixed_dictionaries(
        {},
        optional={
            "instances": JSON | st.lists(JSON, max_size=3),
            "inputs": JSON,
            "examples": JSON | st.lists(JSON, max_size=3),
            "context": JSON,
            "signature_name": st.sampled_from(
                ["", "classify", "regress", "nope", "__saved_model_init_op"]
            )
            | JSON,
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(
    max_examples=30 * EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from(["predict", "classify", "regress"]), BODIES)
def test_no_body_is_the_servers_fault(port, method, body):
    status, answer = call(port, f"/v1/models/toy:{method}", body)

    assert status in (200, 400, 404, 501), answer
    assert status == 200 or isinstance(answer["error"], str)


@settings(max_examples=30 * EXAMPLES, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
    st.text("%/:.~0fav1model\\", max_size=20),
)
def test_no_path_is_the_servers_fault(port, verb, tail):
    status, _ = call(port, f"/v1/{tail}", b"{}", verb)

    assert status in (400, 404)


def read(bodies, *chunks, **headers):
    """A body read from these chunks."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": True}
        for chunk in chunks
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return messages.pop(0)

    scope = {
        "type": "http",
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ],
    }
    return asyncio.run(bodies.read(Request(scope, receive)))


def test_unpacked_bytes_count_and_are_given_back():
    bodies = Bodies(1000)
    packed = zipped(b" " * 1000)
    taken = [read(bodies, packed, content_encoding="gzip") for _ in range(2)]

    with pytest.raises(ServingError, match="more than 2000 bytes") as caught:
        read(bodies, b" ")
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"

    bodies.release(taken[0])
    for _ in range(2):  # what is refused takes no room
        with pytest.raises(ServingError, match="more than 1000 bytes"):
            read(bodies, zipped(b" " * 1001), content_encoding="gzip")
    assert len(read(bodies, packed, content_encoding="gzip")) == 1000


@pytest.fixture
def held():
    """A server that holds its answers until `.store.let_go`."""
    store = BrokenStore(ServingError(grpc.StatusCode.NOT_FOUND, "none"))
    with serve(store) as server:
        yield SimpleNamespace(store=store, server=server)
        store.let_go.set()


def stopping(server):
    """A thread in which it stops."""
    thread = threading.Thread(target=server.stop)
    thread.start()
    return thread


def test_requests_under_way_are_answered_at_a_stop(held):
    held.store.let_go.clear()
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(
            call(held.server.port, PREDICT, {"instances": [1]})
        )
    )
    client.start()
    assert held.store.entered.wait(20)

    thread = stopping(held.server)
    held.store.let_go.set()
    thread.join(20)
    client.join(20)

    assert answers == [(404, {"error": "none"})]
    with pytest.raises(ConnectionRefusedError):
        call(held.server.port, PREDICT, {"instances": [1]})


def test_a_stop_answers_the_next_request_of_a_connection(held):
    """Of a connection that is kept alive, and was reset before."""
    connection = http.client.HTTPConnection("127.0.0.1", held.server.port, 20)
    with contextlib.closing(connection):
        connection.request("POST", PREDICT, PREDICTION)
        assert connection.getresponse().read()
        drain, is_late = held.server.drain, threading.Event()
        drain.seconds_left = lambda: 0.0 if is_late.is_set() else 0.01

        thread = stopping(held.server)
        while not drain.has_begun:
            assert thread.is_alive()
        held.store.entered.clear()
        connection.request("POST", PREDICT, PREDICTION)
        assert held.store.entered.wait(20)
        is_late.set()
        response = connection.getresponse()

        assert response.status == 404
        assert response.headers["connection"] == "close"
    thread.join(20)


def test_connections_without_a_request_are_closed(held, monkeypatch):
    monkeypatch.setattr(rest_server, "FIRST_REQUEST_SECONDS", 0.1)

    address = ("127.0.0.1", held.server.port)
    with socket.create_connection(address, 20) as silent:
        silent.sendall(b"GET / HT")
        received = silent.recv(100)

    assert received == b""


def test_a_taken_port_is_explained(port):
    with pytest.raises(ValueError, match="another port with --rest_api_port"):
        RestServer(BrokenStore(), Options(rest_api_port=port), Metrics())
