"""Configuration files and what is refused in them."""

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.server.config import (
    message_type,
    read_server_credentials,
    read_text_proto,
    single_model_config,
)
from tests.serving.localhost_tls import CERTIFICATE, KEY, OTHER_KEY


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "MonitoringConfig",
            'prometheus_config { enable: true path: "/metrics" }',
            lambda m: m.prometheus_config.path == "/metrics",
        ),
        (
            "SSLConfig",
            'server_key: "k" server_cert: "c" custom_ca: "a" '
            "client_verify: true",
            lambda m: m.client_verify and m.server_key == "k",
        ),
    ],
)
def test_text_of_the_real_server_is_read(tmp_path, name, text, expected):
    file = tmp_path / "file"
    file.write_text(text)

    message = read_text_proto(file, message_type(name)())

    assert message.DESCRIPTOR.full_name == f"tensorflow.serving.{name}"
    assert expected(message)


def test_a_bad_file_is_refused_in_the_real_servers_words(tmp_path):
    file = tmp_path / "models.config"
    file.write_text("model_config_list { konfig {} }")

    with pytest.raises(
        ValueError,
        match="Error parsing text-format "
        "tensorflow.serving.ModelServerConfig: .*konfig",
    ):
        read_text_proto(file, ModelServerConfig())


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    file = tmp_path / "absent"
    make(file)

    with pytest.raises(ValueError, match="must be readable.*absent"):
        read_text_proto(file, ModelServerConfig())


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match="Error parsing text-format"):
        read_text_proto(file, ModelServerConfig())


def test_a_relative_base_path_of_the_flag_counts_from_here(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    [model] = single_model_config("m", "models/m").model_config_list.config

    assert model.base_path == str(tmp_path / "models" / "m")


def tls_file(path, **fields):
    """The path of a text SSLConfig."""
    config = message_type("SSLConfig")(**fields)
    path.write_text(text_format.MessageToString(config))
    return str(path)


def test_a_tls_file_gives_credentials(tmp_path):
    path = tls_file(
        tmp_path / "tls",
        server_key=KEY,
        server_cert=CERTIFICATE,
        custom_ca=CERTIFICATE,
        client_verify=True,
    )

    assert isinstance(read_server_credentials(path), grpc.ServerCredentials)
    assert read_server_credentials("") is None


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"server_cert": ""}, "must hold server_key and server_cert.*/tls wit"),
        ({"client_verify": True}, "must hold custom_ca.*/tls without"),
        ({"server_cert": "c"}, "server_cert in .*/tls must be certificates"),
        ({"server_key": "k"}, "server_key in .*/tls must be a private key"),
        ({"server_key": OTHER_KEY}, "key of server_cert in .*/tls"),
        ({"custom_ca": "c"}, "custom_ca in .*/tls must be certificates"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_refused(tmp_path, fields, error):
    given = {"server_key": KEY, "server_cert": CERTIFICATE, **fields}

    with pytest.raises(ValueError, match=error):
        read_server_credentials(tls_file(tmp_path / "tls", **given))
