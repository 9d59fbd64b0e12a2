"""Switches of version under load: nobody notices."""

import gc
import threading
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.serving.fake_versions import spec, state_name
from tests.serving.toy_model import COLUMNS, expected_ctr, predict_request

NUM_CLIENTS = 4
SECONDS = 30.0


class Load:
    """Client threads that send requests until told to stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = threading.Event()
        self.errors: list[str] = []
        self.answers: dict[int, int] = {}
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._send) for _ in range(NUM_CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for_answer(self, version: int) -> None:
        """Until a client has heard from this version."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: version in self.answers, SECONDS
            )

    def _send(self) -> None:
        # A channel each, as separate clients have.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(
            f"localhost:{self.port}", options
        ) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            # Pauses, or these threads leave none of the cores to the loads.
            while not self.stop.wait(0.005):
                try:
                    response = stub.Predict(predict_request(), timeout=SECONDS)
                except grpc.RpcError as error:
                    self.errors.append(str(error))
                    continue
                self._check(response)

    def _check(self, response) -> None:
        """The answer must be of the version that it says, alone."""
        version = response.model_spec.version.value
        ctr = tf.make_ndarray(response.outputs["ctr"])
        expected = expected_ctr(COLUMNS, bias=version / 10)
        if not np.allclose(ctr, expected, rtol=1e-5):
            self.errors.append(f"version {version} answered {ctr}")
        with self._changed:
            self.answers[version] = self.answers.get(version, 0) + 1
            self._changed.notify_all()


@pytest.fixture
def server(tmp_path, toy_versions):
    """Of the toy below `tmp_path`, polled often."""
    toy_versions(tmp_path, 1)
    options = Options(
        port=0,
        model_name="toy",
        model_base_path=str(tmp_path),
        file_system_poll_wait_seconds=0.02,
        max_num_load_retries=1,
        load_retry_interval_micros=1000,
    )
    # As the command does: full collections of all that the other tests have
    # left would take most of the time.
    gc.freeze()
    with Server(options) as server:
        yield server
    gc.unfreeze()


def wait_for(server, **states):
    """Wait until versions `v1`, `v2`, ... of the toy are in these states."""
    versions = server.store.loader.models["toy"].versions
    wanted = {int(key[1:]): value for key, value in states.items()}
    with server.store.loader.changed:
        assert server.store.loader.changed.wait_for(
            lambda: all(
                number in versions
                and state_name(versions[number].state) == state
                for number, state in wanted.items()
            ),
            SECONDS,
        ), states


@pytest.mark.parametrize(
    ("last", "corrupt"), [(3, 2), pytest.param(11, 6, marks=pytest.mark.long)]
)
def test_no_request_fails_over_switches(
    server, tmp_path, toy_versions, last, corrupt
):
    toy_versions(tmp_path, *range(2, last + 1))
    for version in range(2, last + 1):
        (tmp_path / str(version)).rename(tmp_path / f"{version}.tmp")
    damaged = tmp_path / f"{corrupt}.tmp" / "saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:1000])

    with Load(server.port) as load:
        load.wait_for_answer(1)
        for version in range(2, last + 1):
            (tmp_path / f"{version}.tmp").rename(tmp_path / str(version))
            if version == corrupt:
                kept = {f"v{corrupt}": "END", f"v{corrupt - 1}": "AVAILABLE"}
                wait_for(server, **kept)
            else:
                wait_for(server, **{f"v{version}": "AVAILABLE"})
                load.wait_for_answer(version)

    assert load.errors == []
    assert set(load.answers) == set(range(1, last + 1)) - {corrupt}
    states = dict.fromkeys((f"v{n}" for n in range(1, last)), "END")
    wait_for(server, **states | {f"v{last}": "AVAILABLE"})


def test_an_unloaded_version_leaves_no_memory(server, tmp_path, toy_versions):
    with server.store.acquire(spec()) as loaded:
        servable = weakref.ref(loaded.servable)
    del loaded

    toy_versions(tmp_path, 2)
    wait_for(server, v2="AVAILABLE", v1="END")

    assert servable() is None
