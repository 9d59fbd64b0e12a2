"""Limits, deadlines, TLS, health and logs of the gRPC side."""

import contextlib
import dataclasses
import logging
import re
import threading
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from deepfm_tf.serving import connections
from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server import grpc_server
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.grpc_server import (
    SERVICES,
    GrpcServer,
    ReceiveDeadline,
)
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.server.server import Server
from tests.serving.localhost_tls import CERTIFICATE, KEY
from tests.serving.toy_model import predict_request

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SECONDS = 20.0


@dataclasses.dataclass
class FakeStore:
    """Has no models; `entered` and `gate` let a test hold requests up."""

    error: Exception
    entered: Any = dataclasses.field(
        default_factory=lambda: threading.Semaphore(0)
    )
    gate: Any = dataclasses.field(default_factory=threading.Event)
    num_requests: int = 0

    @contextlib.contextmanager
    def acquire(self, model_spec):
        """As `ModelStore.acquire`."""
        self.num_requests += 1
        self.entered.release()
        assert self.gate.wait(SECONDS)
        raise self.error
        yield

    def status(self, model_spec):
        """As `ModelStore.status`."""
        return [get_model_status_pb2.ModelVersionStatus(version=1)]


@pytest.fixture
def store():
    return FakeStore(ServingError(grpc.StatusCode.NOT_FOUND, "none"))


@pytest.fixture
def start(store):
    """`start(**options)` gives a channel to a server with these options."""
    with contextlib.ExitStack() as stack:

        def run(credentials=None, **options) -> grpc.Channel:
            server = GrpcServer(
                store,
                Options(port=0, model_base_path="/m", **options),
                Metrics(),
                credentials,
            )
            server.start()
            stack.callback(lambda: server.stop(0).wait(SECONDS))
            stack.callback(store.gate.set)
            run.server = server
            return stack.enter_context(
                grpc.insecure_channel(f"localhost:{server.port}")
            )

        yield run


def toy_request():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    return request


def predict(channel, **keywords):
    """A future of an answer."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict.future(
        toy_request(), **{"timeout": SECONDS, **keywords}
    )


def code(future):
    return future.exception().code().name


class RecordingChannel:
    """Keeps how requests are serialized: path of a method -> function."""

    def __init__(self):
        self.serializers = {}

    def unary_unary(self, path, request_serializer, **_):
        self.serializers[path] = request_serializer


def test_the_methods_are_those_of_the_services():
    # The official stub serializes requests of its own types only.
    channel = RecordingChannel()
    prediction_service_pb2_grpc.PredictionServiceStub(channel)
    model_service_pb2_grpc.ModelServiceStub(channel)

    found = {
        f"/{service}/{name}": request_type
        for service, methods in SERVICES.items()
        for name, request_type in methods.items()
    }

    assert found.keys() == channel.serializers.keys()
    for path, request_type in found.items():
        assert channel.serializers[path](request_type()) == b""


def num_requests(text, examples):
    """Of so many examples at most, in a text of metrics."""
    bucket = f'counts_bucket{{le="{examples}",model="toy"}} (.*)'
    return sum(map(float, re.findall(bucket, text)))


def test_runs_and_examples_are_counted(toy_server, toy_channel):
    before = toy_server.metrics.text().decode()
    stub = prediction_service_pb2_grpc.PredictionServiceStub(toy_channel)
    stub.Predict(predict_request(), timeout=SECONDS)
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "regress"
    for _ in range(3):
        request.input.example_list.examples.add()
    stub.Regress(request, timeout=SECONDS)

    text = toy_server.metrics.text().decode()
    assert (
        ":tensorflow:serving:runtime_latency_count"
        '{API="Predict",model_name="toy",runtime="TF1"}'
    ) in text
    assert 'request_count{model_name="toy",status="OK"}' in text
    for examples, more in (("2.0", 0), ("4.0", 1)):
        counted = num_requests(before, examples)
        assert num_requests(text, examples) == counted + more


def test_typed_values_unless_the_flag_asks_for_bytes(toy_path, toy_channel):
    answers = []
    options = Options(
        port=0,
        model_name="toy",
        model_base_path=str(toy_path.parent),
        enable_serialization_as_tensor_content=True,
    )
    with (
        Server(options) as server,
        grpc.insecure_channel(f"localhost:{server.port}") as channel,
    ):
        for each in (toy_channel, channel):
            stub = prediction_service_pb2_grpc.PredictionServiceStub(each)
            answer = stub.Predict(predict_request(), timeout=SECONDS)
            answers.append(answer.outputs["ctr"])

    typed, packed = answers
    assert len(typed.float_val) == 3 and not typed.tensor_content
    assert len(packed.tensor_content) == 12 and not packed.float_val


def test_calls_beyond_the_bound_are_refused(start, store, monkeypatch):
    monkeypatch.setattr(grpc_server, "MAX_CONCURRENT_RPCS", 2)
    channel = start(grpc_max_threads=1)
    first, second = predict(channel), predict(channel)
    assert store.entered.acquire(timeout=SECONDS)

    # Of the three, one is worked on and one waits for the thread.
    third = predict(channel)
    refused = [f for f in (second, third) if code_if_done(f)]

    assert {code(f) for f in refused} == {"RESOURCE_EXHAUSTED"}
    store.gate.set()
    assert code(first) == "NOT_FOUND"


def code_if_done(future):
    """Its code, or None while it waits for the thread."""
    with contextlib.suppress(grpc.FutureTimeoutError):
        return future.exception(timeout=0.3).code().name
    return None


def test_a_request_whose_time_is_over_is_not_worked_on(
    start, store, monkeypatch
):
    ended = threading.Semaphore(0)
    monkeypatch.setattr(Metrics, "add_request", lambda *_: ended.release())
    channel = start(grpc_max_threads=1)
    first = predict(channel)
    assert store.entered.acquire(timeout=SECONDS)

    second = predict(channel, timeout=0.1)

    assert code(second) == "DEADLINE_EXCEEDED"
    # The server counts the time from when the call has arrived.
    assert ended.acquire(timeout=SECONDS)
    store.gate.set()
    assert code(first) == "NOT_FOUND"
    assert code(predict(channel)) == "NOT_FOUND"
    assert store.num_requests == 2


@pytest.mark.parametrize(("timeout", "is_bounded"), [(9, True), (None, False)])
def test_the_time_left_bounds_the_run(start, monkeypatch, timeout, is_bounded):
    seen = []

    def respond(models, request, timeout, **options):
        seen.append(timeout)
        return predict_pb2.PredictResponse()

    monkeypatch.setattr(handlers, "predict", respond)

    predict(start(), timeout=timeout).result(SECONDS)

    assert (seen[0] is not None) == is_bounded
    assert not is_bounded or 5 < seen[0] <= 9


def test_bytes_that_are_no_request_cost_an_error(start, store):
    store.gate.set()
    channel = start()
    raw = channel.unary_unary(PREDICT)

    with pytest.raises(grpc.RpcError) as caught:
        raw(b"\xff" * 100, timeout=SECONDS)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "tensorflow.serving.PredictRequest" in caught.value.details()
    assert code(predict(channel)) == "NOT_FOUND"


def test_an_unforeseen_failure_is_internal_and_logged(start, store, caplog):
    store.error = KeyError("secret")
    store.gate.set()

    future = predict(start())

    assert code(future) == "INTERNAL"
    assert "A request failed: KeyError: 'secret'\nTraceback" in caplog.text


def test_requests_and_errors_are_logged(start, store, caplog):
    caplog.set_level(logging.DEBUG, "deepfm_tf")
    store.gate.set()
    channel = start()
    code(predict(channel))
    status = channel.unary_unary(
        "/tensorflow.serving.ModelService/GetModelStatus"
    )
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "a\nb"

    status(request.SerializeToString(), timeout=SECONDS)

    lines = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert any(
        level == "WARNING" and text.startswith("Predict model='toy' peer=ipv")
        for level, text in lines
    )
    assert any(
        level == "DEBUG" and r"GetModelStatus model='a\nb'" in text
        for level, text in lines
    )


def test_big_messages_pass(start, store):
    store.gate.set()
    channel = start()
    request = toy_request()
    request.inputs["x"].tensor_content = bytes(5 * 2**20)  # above 4 MB
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request, timeout=SECONDS)

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_channel_arguments_reach_grpc(start, store):
    store.gate.set()
    channel = start(
        grpc_channel_arguments="grpc.max_receive_message_length=1000,a=b"
    )
    request = toy_request()
    request.inputs["x"].tensor_content = bytes(2000)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request, timeout=SECONDS)

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_unix_socket_is_served_too(start, store, tmp_path):
    store.gate.set()
    start(grpc_socket_path=str(tmp_path / "s"))

    with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
        assert code(predict(channel)) == "NOT_FOUND"


def test_a_taken_port_is_explained(start, store, capfd):
    start()

    with pytest.raises(ValueError, match="choose another port with --port"):
        GrpcServer(store, Options(port=start.server.port), Metrics(), None)


@pytest.mark.parametrize("is_asked", [True, False])
def test_health_is_served_under_the_flag(start, is_asked):
    channel = start(enable_grpc_healthcheck_service=is_asked)
    stub = health_pb2_grpc.HealthStub(channel)

    for service in ("", "ModelService", "PredictionService"):
        request = health_pb2.HealthCheckRequest(service=service)
        with contextlib.suppress(grpc.RpcError):
            response = stub.Check(request, timeout=SECONDS)
            assert is_asked
            assert response.status == health_pb2.HealthCheckResponse.SERVING
            continue
        assert not is_asked


def test_stopping_drains(start, store):
    channel = start(enable_grpc_healthcheck_service=True)
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(), timeout=SECONDS
    )
    serving = health_pb2.HealthCheckResponse
    assert next(watch).status == serving.SERVING
    under_way = predict(channel)
    assert store.entered.acquire(timeout=SECONDS)

    ended = start.server.stop(grace=SECONDS)

    assert next(watch).status == serving.NOT_SERVING
    assert not ended.is_set()
    # gRPC itself cancels a call whose client has not yet read its goodbye.
    assert code(predict(channel)) in ("UNAVAILABLE", "CANCELLED")
    watch.cancel()
    store.gate.set()
    assert code(under_way) == "NOT_FOUND"
    assert ended.wait(SECONDS)


def test_a_stop_answers_what_arrives_before_the_port_closes(
    start, store, monkeypatch
):
    """Each of these was cancelled by gRPC about once in a stop."""
    store.gate.set()
    channel = start()
    is_stopped = threading.Event()
    codes = []

    def client():
        while not is_stopped.is_set():
            codes.append(code(predict(channel)))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for _ in range(20):
        assert store.entered.acquire(timeout=SECONDS)

    ended = start.server.stop(grace=SECONDS)

    is_stopped.set()
    for thread in clients:
        thread.join(SECONDS)
    assert ended.wait(SECONDS)
    assert len(codes) >= 20
    assert set(codes) <= {"NOT_FOUND", "UNAVAILABLE"}


def test_a_call_that_a_stopping_server_refuses_is_not_worked_on(start, store):
    store.gate.set()
    channel = start()
    start.server.drain.note_call = lambda: False

    future = predict(channel)

    assert code(future) == "UNAVAILABLE"
    assert future.exception().details().startswith("The server is stopping.")
    assert store.num_requests == 0


def test_answers_wait_while_a_stop_waits_for_calls(start, store, monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", SECONDS)
    store.gate.set()
    channel = start()
    drain, is_late = start.server.drain, threading.Event()
    drain.seconds_left = lambda: 0.0 if is_late.is_set() else 0.01
    assert code(predict(channel)) == "NOT_FOUND"

    stopping = threading.Thread(target=start.server.stop, args=[SECONDS])
    stopping.start()
    while not drain.has_begun:
        assert stopping.is_alive()
    # It is let go after half of its second.
    assert code(predict(channel, timeout=1.0)) == "NOT_FOUND"
    held = predict(channel)
    for _ in range(3):
        assert store.entered.acquire(timeout=SECONDS)
    with pytest.raises(grpc.FutureTimeoutError):
        held.exception(timeout=0.05)
    is_late.set()

    assert code(held) == "NOT_FOUND"
    stopping.join(SECONDS)


@pytest.mark.parametrize("verify", [False, True])
def test_tls_is_served(start, store, verify):
    store.gate.set()
    root, key = CERTIFICATE.encode(), KEY.encode()
    start(grpc.ssl_server_credentials([(key, root)], root, verify))
    address = f"localhost:{start.server.port}"
    known = grpc.ssl_channel_credentials(root, key, root)
    stranger = grpc.ssl_channel_credentials(root)

    with grpc.secure_channel(address, known) as channel:
        assert code(predict(channel)) == "NOT_FOUND"
    with grpc.secure_channel(address, stranger) as channel:
        expected = "UNAVAILABLE" if verify else "NOT_FOUND"
        assert code(predict(channel, timeout=5)) == expected
    with grpc.insecure_channel(address) as channel:
        assert code(predict(channel, timeout=5)) == "UNAVAILABLE"


def test_credentials_that_grpc_refuses_are_not_a_taken_port(start):
    with pytest.raises(ValueError, match="belong together"):
        start(grpc.ssl_server_credentials([(b"k", b"c")]))


def test_slow_senders_keep_nobody_out(start, store, monkeypatch):
    store.gate.set()
    monkeypatch.setattr(grpc_server, "RECEIVE_SECONDS", 1.0)
    channel = start(grpc_max_threads=1)
    go_on = threading.Event()

    def nothing():
        go_on.wait(SECONDS)
        yield from ()

    method = channel.stream_unary(PREDICT)
    slow = [method.future(nothing()) for _ in range(20)]

    assert code(predict(channel)) == "NOT_FOUND"
    assert {code(future) for future in slow} == {"CANCELLED"}
    go_on.set()


class FakeContext:
    def __init__(self):
        self.cancelled = threading.Event()
        self.cancel = self.cancelled.set


def test_a_call_that_has_arrived_is_left_alone():
    deadline, early, late = ReceiveDeadline(0.01), FakeContext(), FakeContext()

    with deadline.waiting(early):
        pass
    with deadline.waiting(late):
        assert late.cancelled.wait(10)

    deadline.stop()
    assert not early.cancelled.is_set()
