"""Channels: what is retried, and whom they trust."""

import json

import grpc
import pytest

from deepfm_tf.serving.client.channel import (
    channel_credentials,
    channel_options,
)
from tests.serving.localhost_tls import CERTIFICATE


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
    with pytest.raises(FileNotFoundError, match="root certificates.*nope"):
        channel_credentials(tmp_path / "nope.pem")
    roots.write_bytes(b"")
    with pytest.raises(ValueError, match="`ssl` .*roots.pem. must be certif"):
        channel_credentials(roots)


def test_requests_are_spread_only_over_the_hosts_of_a_name():
    spread = service_config("dns:///models:8500")

    assert spread["loadBalancingConfig"] == [{"round_robin": {}}]
    assert "loadBalancingConfig" not in service_config("localhost:8500")


@pytest.mark.parametrize("address", ["localhost", "http://localhost:8501"])
def test_an_address_has_a_port_and_no_scheme_of_rest(address):
    with pytest.raises(ValueError, match="host:port, such as 'localhost:8500'"):
        channel_options(address)
