"""The clients against a server whose answers the test writes."""

import asyncio
import importlib.util
import inspect
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pandas as pd
import pytest

from deepfm_tf.serving import (
    AsyncPredictClient,
    PredictClient,
    PredictError,
)
from tests.serving.localhost_tls import CERTIFICATE, KEY
from tests.serving.scripted_service import (
    FLOAT,
    TEXT,
    ScriptedService,
    served,
    signature_def,
)
from tests.serving.toy_model import COLUMNS, expected_ctr
from tests.test_architecture import imports

INPUTS = {"site": (TEXT, [None]), "price": (FLOAT, [None])}
SIGNATURES = {
    "serving_default": signature_def(INPUTS, {"ctr": (FLOAT, [None])}),
    "both": signature_def(
        INPUTS, {"ctr": (FLOAT, [None]), "half": (FLOAT, [None])}
    ),
    "classify": signature_def({"inputs": (TEXT, [None])}, {}),
    "regress": signature_def({"inputs": (TEXT, [None])}, {}),
    "rank": signature_def(
        {"site": (TEXT, [1]), "price": (FLOAT, [None])},
        {"ctr": (FLOAT, [None])},
    ),
}
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "away for a moment")


class InLoop:
    """An AsyncPredictClient, each of whose calls is waited for."""

    def __init__(self, *arguments, **options):
        self._runner = asyncio.new_event_loop()

        async def make():
            return AsyncPredictClient(*arguments, **options)

        self._client = self._wait(make())

    def _wait(self, awaitable):
        return self._runner.run_until_complete(awaitable)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *a, **options: self._wait(method(*a, **options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._wait(self._client.close())
        self._runner.close()


def answer(inputs):
    price = inputs["price"]
    return {"ctr": price * 2, "half": price / 2}


@pytest.fixture(scope="module")
def running():
    service = ScriptedService(SIGNATURES, answer)
    with served(service) as address:
        yield service, address


@pytest.fixture
def service(running):
    service, _ = running
    service.requests.clear()
    service.failures.clear()
    service.answer, service.as_content = answer, True
    service.most_at_once = 0
    return service


@pytest.fixture(params=[PredictClient, InLoop])
def connect(request, running, service):
    """Makes a client of either kind."""
    return lambda **options: request.param(running[1], "toy", **options)


@pytest.fixture
def client(connect):
    with connect(timeout=20) as client:
        yield client


@pytest.mark.parametrize("as_content", [True, False])
def test_a_whole_frame_is_scored(client, service, as_content):
    service.as_content = as_content
    frame = pd.DataFrame({"clicked": [0, 1], "site": "a", "price": [1, 2.5]})

    result = client.predict(frame)

    assert result.dtype == np.float32
    assert result.tolist() == [2, 5]
    assert set(service.requests[-1].inputs) == {"site", "price"}


def test_several_outputs_are_a_dict(client):
    rows = [{"site": "a", "price": 4}]

    result = client.predict(rows, signature="both")
    chosen = client.predict(rows, signature="both", outputs=["half"])

    assert {n: v.tolist() for n, v in result.items()} == {
        "ctr": [8],
        "half": [2],
    }
    assert chosen.tolist() == [2]


def test_rank_classify_regress_status_and_metadata(client, service):
    ranked = client.rank({"site": "a"}, {"price": [1, 2, 3]})
    classes = client.classify({"n": [0.25, 1.0]})
    numbers = client.regress([{"n": 0.5}])

    assert ranked.tolist() == [2, 4, 6]
    assert classes.labels.tolist() == [["no", "yes"]] * 2
    assert classes.scores.tolist() == [[0.75, 0.25], [0, 1]]
    assert numbers.tolist() == [0.5]
    assert [s[:2] for s in client.status()] == [(2, "AVAILABLE"), (1, "END")]
    assert "rank" in client.metadata().signatures
    assert service.requests[-1].model_spec.signature_name == "regress"


def test_a_large_frame_is_cut_and_its_order_kept(client, service):
    num_rows = 300_000
    frame = pd.DataFrame(
        {
            "site": ["x" * 40] * num_rows,
            "price": np.arange(num_rows, dtype=np.float32),
        }
    )

    result = client.predict(frame)

    np.testing.assert_array_equal(result, frame["price"] * 2)
    sizes = [request.ByteSize() for request in service.requests]
    assert 5 <= len(sizes) <= 20
    assert max(sizes) <= 4 * 2**20


def test_parts_are_sent_together_but_not_all_at_once(connect, service):
    def slow(inputs):
        time.sleep(0.02)
        return answer(inputs)

    service.answer = slow
    with connect(max_rows=1) as client:
        result = client.predict({"site": ["a"] * 20, "price": range(20)})

    assert result.tolist() == [2 * n for n in range(20)]
    assert 2 <= service.most_at_once <= 4


def test_a_server_that_is_away_for_a_moment_is_asked_again(client, service):
    client.metadata()
    service.failures[:] = [UNAVAILABLE] * 2
    # Larger than gRPC would keep for a retry by default.
    rows = {"site": ["x" * 1000] * 1000, "price": np.ones(1000)}

    result = client.predict(rows)

    assert result.shape == (1000,)
    assert len(service.requests) == 3


@pytest.mark.parametrize("code", ["INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED"])
def test_nothing_else_is_asked_again(client, service, code):
    service.failures[:] = [(grpc.StatusCode[code], "broken")]

    with pytest.raises(PredictError, match="broken") as caught:
        client.predict([{"site": "a", "price": 1}])

    assert caught.value.code is grpc.StatusCode[code]
    assert len(service.requests) == 1


def test_one_failed_part_fails_the_whole(connect, service):
    with connect(max_rows=1) as client:
        client.metadata()
        service.failures[:] = [None, None, (grpc.StatusCode.INTERNAL, "no")]

        with pytest.raises(PredictError, match="no"):
            client.predict({"site": ["a"] * 50, "price": range(50)})

    assert len(service.requests) < 50


def test_a_deadline_is_kept(client, service):
    release = threading.Event()
    service.answer = lambda inputs: release.wait(20) and answer(inputs)

    try:
        with pytest.raises(PredictError, match="within 0.2 seconds") as caught:
            client.predict([{"site": "a", "price": 1}], timeout=0.2)
        with pytest.raises(ValueError, match="`timeout` must be.*timeout=0"):
            client.predict([{"site": "a", "price": 1}], timeout=0)
    finally:
        release.set()

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", [PredictClient, InLoop])
def test_no_server_is_said_so(kind):
    with kind("localhost:1", "toy") as client:
        with pytest.raises(PredictError, match="No server answers at") as error:
            client.predict([])

    assert error.value.target == "localhost:1"
    assert "deepfm-tf serve" in str(error.value)


def test_a_server_that_comes_back_is_found_again(service):
    rows = [{"site": "a", "price": 4}]
    with served(service) as address:
        port = address.split(":")[1]
        client = PredictClient(address, "toy")
        assert client.predict(rows).tolist() == [8]
    with client:
        with pytest.raises(PredictError, match="No server answers"):
            client.predict(rows)
        with served(service, port=port):
            deadline = time.monotonic() + 15
            while True:
                try:
                    assert client.predict(rows).tolist() == [8]
                    break
                except PredictError:
                    assert time.monotonic() < deadline


def test_one_client_serves_many_threads(running, service):
    client, results = PredictClient(running[1], "toy"), {}

    def work(n):
        rows = {"site": ["a"] * 3, "price": [n, n + 1, n + 2]}
        results[n] = client.predict(rows).tolist()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    client.close()

    assert results == {n: [2 * n, 2 * n + 2, 2 * n + 4] for n in range(20)}


def test_calls_of_one_loop_run_side_by_side(running, service):
    rows = [[{"site": "a", "price": n}] for n in range(30)]

    async def main():
        async with AsyncPredictClient(running[1], "toy") as client:
            return await asyncio.gather(*map(client.predict, rows))

    assert [r.tolist() for r in asyncio.run(main())] == [
        [2 * n] for n in range(30)
    ]


def test_both_clients_take_the_same_arguments():
    for name in ("predict", "rank", "classify", "regress", "status"):
        of_one = inspect.signature(getattr(PredictClient, name))
        assert of_one == inspect.signature(getattr(AsyncPredictClient, name))
    assert inspect.signature(PredictClient) == inspect.signature(
        AsyncPredictClient
    )


def test_tls_needs_the_servers_root(service, tmp_path):
    credentials = grpc.ssl_server_credentials(
        [(KEY.encode(), CERTIFICATE.encode())]
    )
    roots = tmp_path / "roots.pem"
    roots.write_text(CERTIFICATE)
    rows = [{"site": "a", "price": 4}]

    with served(service, credentials) as address:
        with PredictClient(address, "toy", ssl=roots) as client:
            assert client.predict(rows).tolist() == [8]
        with PredictClient(address, "toy", ssl=True) as client:
            with pytest.raises(PredictError, match="`ssl`.*certificate"):
                client.predict(rows)


def test_the_local_server_is_understood(toy_server):
    frame = pd.DataFrame({"clicked": 1, **COLUMNS})
    address = f"localhost:{toy_server.port}"

    with PredictClient(address, "toy", max_rows=2) as client:
        result = client.predict(frame)
        no_rows = client.predict(frame[:0])
        with pytest.raises(ValueError, match="'n1'.*Did you mean 'n11'"):
            client.predict(frame.rename(columns={"n1": "n11"}))
        with pytest.raises(ValueError, match="needs the columns 'n1'"):
            client.predict(frame.drop(columns="n1"))
        with pytest.raises(PredictError, match=r"Specific\(toy, 9\)"):
            client.predict(frame, version=9)
        status = client.status()
        classes = client.classify(frame)
        numbers = client.regress(frame.to_dict("records"))

    expected = expected_ctr(COLUMNS)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    np.testing.assert_allclose(classes.scores[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(numbers, expected, rtol=1e-6)
    assert classes.labels.tolist() == [["0", "1"]] * 3
    assert no_rows.shape == (0,)
    assert status == [(1, "AVAILABLE", "")]


def test_the_client_needs_none_of_the_servers_packages():
    extra = {"grpc_health", "prometheus_client", "starlette", "uvicorn"}
    modules, found = [PredictClient.__module__, "deepfm_tf.serving"], set()

    while modules:
        spec = importlib.util.find_spec(modules.pop())
        names = imports(Path(spec.origin))
        ours = {n for n in names if n.startswith("deepfm_tf.serving.")}
        modules += ours - found
        found |= names

    assert "deepfm_tf.serving.client.calls" in found
    assert not {n.split(".")[0] for n in found} & extra
