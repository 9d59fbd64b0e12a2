"""Channels are opened as they must be, and their failures said in words."""

import json
import pickle

import grpc
import pytest

from deepfm_tf.serving.client.channel import (
    PredictError,
    channel_credentials,
    channel_options,
    predict_error,
)
from tests.serving.localhost_tls import CERTIFICATE


class Failed(grpc.RpcError):
    def __init__(self, code, details):
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("UNAVAILABLE", "No server answers at host:1.*deepfm-tf serve --po"),
        ("DEADLINE_EXCEEDED", "host:1 did not answer within 3 seconds"),
        ("NOT_FOUND", "host:1 does not have the model 'toy'"),
        ("INVALID_ARGUMENT", "host:1 refused the request"),
        ("RESOURCE_EXHAUSTED", "too large, or host:1 is overloaded"),
        ("UNIMPLEMENTED", "does not speak TensorFlow Serving's gRPC API"),
        ("INTERNAL", "host:1 failed"),
    ],
)
def test_each_code_has_words(code, words):
    code = grpc.StatusCode[code]

    error = predict_error(Failed(code, "the reason"), "host:1", "toy", 3)

    with pytest.raises(PredictError, match=words):
        raise error
    assert "the reason" in str(error) and code.name in str(error)
    assert (error.code, error.details) == (code, "the reason")
    assert error.target == "host:1"


def test_errors_cross_processes():
    error = PredictError("No.", grpc.StatusCode.NOT_FOUND, "why", "host:1")

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.code, again.details, again.target) == (
        "No.",
        grpc.StatusCode.NOT_FOUND,
        "why",
        "host:1",
    )


def service_config(address):
    return json.loads(dict(channel_options(address))["grpc.service_config"])


def test_only_unavailable_is_retried():
    config = service_config("localhost:8500")

    (policy,) = config["methodConfig"]
    assert policy["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {name["service"].rsplit(".", 1)[1] for name in policy["name"]} == {
        "PredictionService",
        "ModelService",
    }


def test_ssl_takes_files_bytes_and_credentials(tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_text(CERTIFICATE)
    ready = grpc.ssl_channel_credentials()

    assert channel_credentials(False) is None
    assert channel_credentials(ready) is ready
    for ssl in (True, roots, str(roots), b"pem"):
        assert isinstance(channel_credentials(ssl), grpc.ChannelCredentials)
    with pytest.raises(FileNotFoundError, match="nope.pem"):
        channel_credentials(tmp_path / "nope.pem")
    roots.write_bytes(b"")
    with pytest.raises(ValueError, match="roots.pem must be certif"):
        channel_credentials(roots)


def test_requests_are_spread_only_over_the_hosts_of_a_name():
    spread = service_config("dns:///models:8500")

    assert spread["loadBalancingConfig"] == [{"round_robin": {}}]
    assert "loadBalancingConfig" not in service_config("localhost:8500")


@pytest.mark.parametrize("address", ["localhost", "http://localhost:8501"])
def test_an_address_has_a_port_and_no_scheme_of_rest(address):
    with pytest.raises(ValueError, match="host:port, such as 'localhost:8500'"):
        channel_options(address)
