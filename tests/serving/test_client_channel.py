"""Channels: what is retried, and whom they trust."""

import json

import grpc
import pytest

from deepfm_tf.serving.client_channel import (
    channel_credentials,
    channel_options,
)


def test_only_unavailable_is_retried():
    config = json.loads(dict(channel_options())["grpc.service_config"])

    (policy,) = config["methodConfig"]
    assert policy["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {name["service"].rsplit(".", 1)[1] for name in policy["name"]} == {
        "PredictionService",
        "ModelService",
    }


def test_ssl_takes_files_bytes_and_credentials(tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_bytes(b"")
    ready = grpc.ssl_channel_credentials()

    assert channel_credentials(False) is None
    assert channel_credentials(ready) is ready
    for ssl in (True, roots, str(roots), b"pem"):
        assert isinstance(channel_credentials(ssl), grpc.ChannelCredentials)
    with pytest.raises(FileNotFoundError, match="root certificates.*nope"):
        channel_credentials(tmp_path / "nope.pem")
