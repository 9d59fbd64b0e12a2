"""Versions, labels, status and reloads, as the real server answers them.

Each test speaks gRPC to a server of its own models. With a
`tensorflow_model_server` on PATH the same tests run against it too.
"""

import contextlib
import time

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.serving.any_server import SERVERS, running_server
from tests.serving.fake_versions import state_name
from tests.serving.toy_model import predict_request

SECONDS = 30.0


class Client:
    """The two stubs, and the toy's requests."""

    def __init__(self, channel: grpc.Channel, root) -> None:
        self.root = root
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, name="toy", version=None, label=None):
        """The version that answers."""
        request = predict_request()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        response = self.prediction.Predict(request, timeout=SECONDS)
        return response.model_spec.version.value

    def status(self, name="toy", version=None, label=None):
        """Version to state and error code."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        response = self.model.GetModelStatus(request, timeout=SECONDS)
        return {
            s.version: (state_name(s.state), s.status.error_code)
            for s in response.model_version_status
        }

    def reload(self, text, timeout=SECONDS):
        """Send a configuration; `{root}` is the folder of the models."""
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(
            text.replace("{root}", str(self.root)), request.config
        )
        return self.model.HandleReloadConfigRequest(request, timeout=timeout)

    def wait_for(self, version, state, name="toy"):
        """Poll the status until a version is there."""
        end = time.monotonic() + SECONDS
        while self.status(name).get(version, ("",))[0] != state:
            assert time.monotonic() < end, self.status(name)
            time.sleep(0.02)


def both(extra="", other=""):
    """A configuration of "toy", and perhaps more."""
    return (
        'model_config_list { config { name: "toy" base_path: "{root}/toy" '
        f'model_platform: "tensorflow" {extra} }} {other} }}'
    )


ALL = "model_version_policy { all {} }"


@pytest.fixture(scope="module", params=SERVERS)
def client(request, tmp_path_factory, toy_versions):
    """Of a server of the toy's versions 1 and 2, both available."""
    root = tmp_path_factory.mktemp("contract")
    toy_versions(root / "toy", 1, 2)
    toy_versions(root / "other", 7)
    (root / "models.config").write_text(both(ALL).replace("{root}", str(root)))
    flags = [
        f"--model_config_file={root}/models.config",
        "--file_system_poll_wait_seconds=1",
        "--load_retry_interval_micros=100000",
    ]
    with (
        running_server(request.param, flags) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        made = Client(channel, root)
        made.wait_for(1, "AVAILABLE")
        made.wait_for(2, "AVAILABLE")
        yield made


@pytest.fixture(autouse=True)
def original_configuration(client):
    """Whatever the test before has reloaded."""
    client.reload(both(ALL))
    client.wait_for(1, "AVAILABLE")
    client.wait_for(2, "AVAILABLE")


@contextlib.contextmanager
def refused(code, message):
    """Expect this status, to the letter."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert (caught.value.code().name, caught.value.details()) == (
        code,
        message,
    )


def test_unpinned_requests_get_the_highest_version(client):
    assert client.predict() == 2
    assert client.predict(version=1) == 1


def test_status_of_all_versions_and_of_one(client):
    everything = {1: ("AVAILABLE", 0), 2: ("AVAILABLE", 0)}

    assert client.status() == everything
    assert client.status(version=1) == {1: ("AVAILABLE", 0)}
    assert client.status(label="ignored") == everything


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 7}, "Could not find version 7 of model toy"),
        ({"name": "nope"}, "Could not find any versions of model nope"),
    ],
)
def test_status_of_what_is_not_there(client, arguments, message):
    with refused("NOT_FOUND", message):
        client.status(**arguments)


def test_status_without_model_spec(client):
    with refused("INVALID_ARGUMENT", "Missing ModelSpec"):
        client.model.GetModelStatus(
            get_model_status_pb2.GetModelStatusRequest()
        )


def test_labels_name_available_versions(client):
    client.reload(both(f'{ALL} version_labels {{ key: "old" value: 1 }}'))
    assert client.predict(label="old") == 1

    client.reload(both(f'{ALL} version_labels {{ key: "old" value: 2 }}'))

    assert client.predict(label="old") == 2


def test_a_label_of_a_version_that_is_not_available(client):
    with refused(
        "FAILED_PRECONDITION",
        "Request to assign label to version 3 of model toy, which is not "
        "currently available for inference",
    ):
        client.reload(both(f'{ALL} version_labels {{ key: "x" value: 3 }}'))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("",
         "ServerModelConfig type not supported by HandleReloadConfigRequest. "
         "Only ModelConfigList is currently supported"),
        ('model_config_list { config { name: "toy" base_path: "rel/toy" '
         'model_platform: "tensorflow" } }',
         "Expected model toy to have an absolute path or URI; got "
         "base_path()=rel/toy"),
        ('model_config_list { config { name: "toy" base_path: "/toy" } }',
         "Illegal setting neither ModelServerConfig::model_type (deprecated) "
         "nor ModelServerConfig::model_platform, model name is toy"),
    ],
)  # fmt: skip
def test_reloads_that_are_refused(client, config, message):
    with refused("INVALID_ARGUMENT", message):
        client.reload(config)

    assert client.predict() == 2


def test_a_reload_answers_once_new_models_are_available(client):
    other = (
        'config { name: "other" base_path: "{root}/other" '
        'model_platform: "tensorflow" }'
    )

    response = client.reload(both(ALL, other))

    assert response.status.error_code == 0
    assert client.predict("other") == 7


def test_a_model_left_out_of_a_reload_ends(client):
    client.reload(both(ALL).replace('"toy"', '"renamed"'))

    assert client.predict("renamed") == 2
    client.wait_for(2, "END")
    with refused("NOT_FOUND", "Servable not found for request: Latest(toy)"):
        client.predict()


def test_policies_choose_what_is_loaded(client):
    client.reload(both("model_version_policy { specific { versions: 1 } }"))

    client.wait_for(2, "END")
    assert client.predict() == 1
    assert client.status() == {1: ("AVAILABLE", 0), 2: ("END", 0)}


def test_a_wait_for_a_model_that_never_comes_ends_with_the_deadline(client):
    absent = (
        'config { name: "absent" base_path: "{root}/absent" '
        'model_platform: "tensorflow" }'
    )

    with pytest.raises(grpc.RpcError) as caught:
        client.reload(both(ALL, absent), timeout=0.3)

    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.predict() == 2
