"""The asyncio client does what the blocking one does."""

import asyncio
import inspect

import grpc
import numpy as np
import pytest

from deepfm_tf.serving import AsyncPredictClient, PredictClient, PredictError
from tests.serving.client.test_client import SIGNATURES, UNAVAILABLE, answer
from tests.serving.scripted_service import (
    FLOAT,
    TEXT,
    ScriptedService,
    served,
    signature_def,
)


@pytest.fixture(scope="module")
def running():
    service = ScriptedService(SIGNATURES, answer)
    with served(service) as address:
        yield service, address


def with_client(running, work, **options):
    """Run `work(client)` in an event loop of its own."""
    service, address = running
    service.requests.clear()

    async def main():
        async with AsyncPredictClient(address, "toy", **options) as client:
            return await work(client)

    return asyncio.run(main())


def test_all_methods_answer(running):
    async def work(client):
        return (
            await client.predict([{"site": "a", "price": 4}]),
            await client.rank({"site": "a"}, {"price": [1, 2]}),
            await client.classify({"n": [0.25]}),
            await client.regress({"n": [0.5]}),
            await client.status(),
            await client.metadata(),
        )

    predicted, ranked, classes, numbers, status, metadata = with_client(
        running, work
    )

    assert predicted.tolist() == [8]
    assert ranked.tolist() == [2, 4]
    assert classes.scores.tolist() == [[0.75, 0.25]]
    assert numbers.tolist() == [0.5]
    assert status[0].state == "AVAILABLE"
    assert "rank" in metadata.signatures


def test_parts_keep_their_order(running):
    rows = {"site": ["a"] * 50, "price": np.arange(50)}

    result = with_client(running, lambda c: c.predict(rows), max_rows=3)

    assert result.tolist() == [2 * n for n in range(50)]
    assert len(running[0].requests) == 17


def test_calls_run_side_by_side(running):
    async def work(client):
        rows = [[{"site": "a", "price": n}] for n in range(30)]
        return await asyncio.gather(*map(client.predict, rows))

    results = with_client(running, work)

    assert [r.tolist() for r in results] == [[2 * n] for n in range(30)]


def test_a_version_with_a_new_input_is_asked_again():
    both = {"site": (TEXT, [None]), "price": (FLOAT, [None])}
    old, new = (
        {"serving_default": signature_def(inputs, {"ctr": (FLOAT, [None])})}
        for inputs in ({"site": both["site"]}, both)
    )
    service = ScriptedService(
        old,
        lambda inputs: {"ctr": inputs.get("price", np.float32([40])) / 2},
    )
    rows = {"site": ["a"], "price": [3.0]}

    async def work(client):
        before = await client.predict(rows)
        service.version, service.signatures = 2, new
        return before, await client.predict(rows)

    with served(service) as address:
        before, after = with_client((service, address), work)

    assert before.tolist() == [20]
    assert after.tolist() == [1.5]


def test_failures_are_said_and_moments_away_survived(running):
    service, _ = running
    service.failures[:] = [UNAVAILABLE, (grpc.StatusCode.INTERNAL, "broken")]

    async def work(client):
        await client.predict([{"site": "a", "price": 1}])

    with pytest.raises(PredictError, match="broken"):
        with_client(running, work)
    assert len(service.requests) == 2


def test_no_server_is_said_so():
    async def work():
        async with AsyncPredictClient("localhost:1", "toy") as client:
            await client.predict([])

    with pytest.raises(PredictError, match="No server answers at localhost:1"):
        asyncio.run(work())


def test_both_clients_have_the_same_methods():
    for name in ("predict", "rank", "classify", "regress", "status"):
        both = inspect.signature(getattr(PredictClient, name))
        assert both == inspect.signature(getattr(AsyncPredictClient, name))
        assert {"version", "timeout"} <= set(both.parameters)
    assert inspect.signature(PredictClient) == inspect.signature(
        AsyncPredictClient
    )
