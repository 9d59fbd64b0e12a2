import asyncio
import contextlib
import gzip
import json
import logging
import socket
import threading
import time

import grpc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.requests import Request
from tensorflow_serving.apis import get_model_status_pb2

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.application import (
    BodyMemory,
    BodyTooLarge,
    RequestBody,
    rest_application,
)
from tests.serving.rest_client import call, serve
from tests.serving.toy_model import COLUMNS, expected_ctr


def zipped(data, level=9):
    """The same bytes at any time: they are in the names of tests."""
    return gzip.compress(data, level, mtime=0)


PREDICT = "/v1/models/toy:predict"
MAX_BODY_BYTES = 100_000


def model_status(name, version, label):
    if name != "toy":
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find any versions of model {name}",
        )
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=version or 1, state=30)
    return response


@pytest.fixture(scope="module")
def answered():
    """What the application told of its answers."""
    return []


@pytest.fixture(scope="module")
def port(toy_models, answered):
    application = rest_application(
        toy_models,
        model_status=model_status,
        metrics_path="/monitoring/prometheus/metrics",
        metrics_text=lambda: b"up 1\n",
        max_body_bytes=MAX_BODY_BYTES,
        on_answer=lambda *told: answered.append(told),
    )
    with serve(application) as port:
        yield port


def head(content_length):
    """The beginning of a request whose body a test sends by hand."""
    lines = f"POST {PREDICT} HTTP/1.1", "Host: x", "Content-Length: "
    return ("\r\n".join(lines) + f"{content_length}\r\n\r\n").encode()


class BrokenModels:
    """Raises what a test gives it; waits first where it is told to."""

    def __init__(self):
        self.error, self.num_asked = None, 0
        self.let_go = threading.Event()
        self.let_go.set()

    @contextlib.contextmanager
    def acquire(self, model_spec):
        self.num_asked += 1
        self.let_go.wait(10)
        raise self.error
        yield


@pytest.fixture(scope="module")
def broken_models():
    return BrokenModels()


@pytest.fixture(scope="module")
def broken_port(broken_models):
    application = rest_application(
        broken_models,
        model_status=model_status,
        timeout_seconds=0.3,
        num_threads=1,
        max_body_bytes=1000,
    )
    with serve(application) as port:
        yield port


def test_a_prediction_goes_through(port):
    status, answer = call(port, PREDICT, {"inputs": COLUMNS})

    assert status == 200
    assert answer["outputs"] == pytest.approx(
        expected_ctr(COLUMNS).tolist(), abs=1e-6
    )


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (PREDICT, {"inputs": COLUMNS}, ("toy", "predict", "OK")),
        (PREDICT, {}, ("toy", "predict", "INVALID_ARGUMENT")),
        (PREDICT, b"x" * (MAX_BODY_BYTES + 1),
         ("toy", "predict", "RESOURCE_EXHAUSTED")),
        ("/v1/models/no", None, ("no", "get_model_status", "NOT_FOUND")),
        ("/v1/", None, None),
    ],
    ids=range(5),
)  # fmt: skip
def test_answers_are_told(port, answered, path, body, expected):
    answered.clear()

    call(port, path, body)

    assert [told[:3] for told in answered] == [expected] * bool(expected)
    assert all(0 < told[3] < 10 for told in answered)


def test_the_query_is_not_part_of_the_path(port):
    assert call(port, "/v1/models/toy?x=%2f:")[0] == 200


@pytest.mark.parametrize("path", ["/", "/v2/models/toy", "/v1", "/metrics"])
def test_paths_elsewhere_are_not_found(port, path):
    assert call(port, path) == (404, b"Not Found")


def test_metrics_have_their_own_path(port):
    assert call(port, "/monitoring/prometheus/metrics") == (200, b"up 1\n")


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
def test_codes_map_to_http(broken_port, broken_models, code, status):
    broken_models.error = ServingError(grpc.StatusCode[code], "a text")

    answer = call(broken_port, PREDICT, {"instances": [1]})

    assert answer == (status, {"error": "a text"})


def test_a_bug_is_answered_and_logged(broken_port, broken_models, caplog):
    broken_models.error = KeyError("oops")

    status, answer = call(broken_port, PREDICT, {"instances": [1]})

    assert (status, answer) == (500, {"error": "KeyError: 'oops'"})
    assert "REST request to 'toy' failed." in caplog.text


def test_a_refusal_is_one_line_of_the_log(broken_port, broken_models, caplog):
    broken_models.error = ServingError(
        grpc.StatusCode.INVALID_ARGUMENT, "it's\n  [[node]] \x1b[31m"
    )

    with caplog.at_level(logging.INFO, "deepfm_tf.serving.rest.application"):
        call(broken_port, PREDICT, {"instances": [1]})

    assert caplog.messages[-1] == (
        f"POST {PREDICT}: 400 INVALID_ARGUMENT: it's [[node]] \\x1b[31m"
    )


def test_a_late_answer_is_a_timeout(broken_port, broken_models):
    broken_models.error = RuntimeError("too late to matter")
    broken_models.let_go.clear()
    broken_models.num_asked = 0

    status, answer = call(broken_port, PREDICT, {"instances": [1]})
    waiting, _ = call(broken_port, PREDICT, {"instances": [1]})
    num_asked = broken_models.num_asked
    broken_models.let_go.set()

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


def test_an_announced_body_is_refused_before_it_comes(port):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.settimeout(5)
        client.sendall(head(99_999_999_999))

        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_all_bodies_together_have_a_bound(broken_port, broken_models):
    broken_models.error = ServingError(grpc.StatusCode.NOT_FOUND, "none")
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


def test_gzip_is_unpacked(port):
    body = zipped(json.dumps({"inputs": COLUMNS}).encode())

    status, _ = call(port, PREDICT, body, headers={"Content-Encoding": "gzip"})

    assert status == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (zipped(b"[" * 10**7, 9)[:90_000], 413, "more than 100000"),
        (zipped(b" " * MAX_BODY_BYTES), 400, "document is empty"),
        (zipped(b" " * (MAX_BODY_BYTES + 1)), 413, "more than 100000"),
        (b"not gzip", 400, "not valid gzip"),
        (b"", 400, "one complete gzip member"),
        (zipped(b"{}")[:-4], 400, "one complete gzip member"),
        (zipped(b"{}") * 2, 400, "one complete gzip member"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_gzip_is_bounded_and_checked(port, body, status, message):
    found, answer = call(
        port, PREDICT, body, headers={"Content-Encoding": "gzip"}
    )

    assert found == status
    assert message in answer["error"]


def test_other_encodings_are_refused(port):
    status, answer = call(
        port, PREDICT, {"instances": []}, headers={"Content-Encoding": "br"}
    )

    assert status == 400
    assert "Received: Content-Encoding: br." in answer["error"]


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
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from(["predict", "classify", "regress"]), BODIES)
def test_no_body_is_the_servers_fault(port, method, body):
    status, answer = call(port, f"/v1/models/toy:{method}", body)

    assert status in (200, 400, 404, 501), answer
    assert status == 200 or isinstance(answer["error"], str)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
    st.text("%/:.~0fav1model\\", max_size=20),
)
def test_no_path_is_the_servers_fault(port, verb, tail):
    status, _ = call(port, f"/v1/{tail}", b"{}", verb)

    assert status in (400, 404)


LIMIT = 1000


def read(memory, *chunks, **headers):
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
    body = RequestBody(memory)
    asyncio.run(body.read(Request(scope, receive)))
    return body


def test_chunks_are_joined():
    assert read(BodyMemory(LIMIT), b"ab", b"c").unpacked() == b"abc"


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_the_limit_is_inclusive(size):
    half = size // 2
    memory = BodyMemory(LIMIT)
    if size == LIMIT:
        assert len(read(memory, b"x" * half, b"x" * half).unpacked()) == LIMIT
        return

    with pytest.raises(BodyTooLarge, match="more than 1000 bytes"):
        read(memory, b"x" * half, b"x" * (size - half))


@pytest.mark.parametrize("length", ["1001", "9" * 5000])
def test_an_announced_length_is_enough_to_refuse(length):
    with pytest.raises(BodyTooLarge):
        read(BodyMemory(LIMIT), content_length=length)


def test_unpacked_bytes_count_and_are_given_back():
    memory = BodyMemory(LIMIT)
    packed = zipped(b" " * LIMIT)
    bodies = [read(memory, packed, content_encoding="gzip") for _ in range(2)]
    bodies[0].unpacked()

    with pytest.raises(ServingError, match="more than 2000 bytes") as caught:
        bodies[1].unpacked()

    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    bodies[0].release()
    bodies[0].release()  # once is enough
    assert len(bodies[1].unpacked()) == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, 10**7])
def test_a_bomb_is_too_large(size):
    packed = zipped(b" " * size)[:LIMIT]

    with pytest.raises(BodyTooLarge):
        read(BodyMemory(LIMIT), packed, content_encoding="gzip").unpacked()


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"no", "gzip", "not valid gzip"),
        (b"", "gzip", "one complete gzip member"),
        (zipped(b"{}")[:-4], "GZIP", "one complete gzip member"),
        (zipped(b"{}") * 2, "x-gzip", "one complete gzip member"),
        (b"{}", "br", "Received: Content-Encoding: br."),
    ],
)
def test_other_contents_are_refused(content, encoding, message):
    body = read(BodyMemory(LIMIT), content, content_encoding=encoding)

    with pytest.raises(ServingError, match=message) as caught:
        body.unpacked()

    assert caught.value.code.name == "INVALID_ARGUMENT"
