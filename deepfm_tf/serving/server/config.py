"""The text files a server is configured with, and what they must hold."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import grpc
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    text_format,
)
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.errors import UserError
from deepfm_tf.serving.tls import check_certificates, check_key

METRICS_PATH = "/monitoring/prometheus/metrics"

_Message = TypeVar("_Message", bound=message.Message)
_PACKAGE = "tensorflow.serving"
# The official package has no Python for these files. Text format knows fields
# by name, so that the numbers are ours.
_MESSAGES = {
    "PrometheusConfig": {"enable": "TYPE_BOOL", "path": "TYPE_STRING"},
    "MonitoringConfig": {"prometheus_config": f".{_PACKAGE}.PrometheusConfig"},
    "SSLConfig": {
        "server_key": "TYPE_STRING",
        "server_cert": "TYPE_STRING",
        "custom_ca": "TYPE_STRING",
        "client_verify": "TYPE_BOOL",
    },
}


def message_type(name: str) -> Any:
    """The class of one of TensorFlow Serving's own configuration messages.

    Example:
        >>> monitoring = message_type("MonitoringConfig")()
        >>> monitoring.prometheus_config.enable = True
    """
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="config.proto", package=_PACKAGE, syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        described = file.message_type.add(name=message_name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            of_kind = {"type_name" if kind[0] == "." else "type": kind}
            described.field.add(
                name=field, number=number, label="LABEL_OPTIONAL", **of_kind
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    )


def read_text_proto(path: str | os.PathLike[str], into: _Message) -> _Message:
    """Fill a message from a file in protobuf's text format, and return it.

    Raises:
        ValueError: the file is missing, or is not such a text.
    """
    name = into.DESCRIPTOR.full_name
    try:
        with open(path, encoding="utf-8") as file:
            text_format.Parse(file.read(), into)
    except OSError as error:
        raise UserError(
            f"The {name} file must be readable. Received: {path} "
            f"({error.strerror}). Check the path."
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        # The first five words are what the real server prints.
        raise UserError(
            f"Error parsing text-format {name}: {path}:{error}. "
            "The file must be such a message in protobuf's text format."
        ) from error
    return into


def read_server_credentials(path: str) -> grpc.ServerCredentials | None:
    """What a server's TLS file says, a text SSLConfig; None without a path.

    Raises:
        ValueError: names the file, and the field that must be otherwise.
    """
    if not path:
        return None
    config: Any = read_text_proto(path, message_type("SSLConfig")())
    if not (config.server_key and config.server_cert):
        raise UserError(
            "--ssl_config_file must hold server_key and server_cert, as PEM "
            f"text. Received: {path} without."
        )
    if config.client_verify and not config.custom_ca:
        raise UserError(
            "--ssl_config_file must hold custom_ca, the PEM text of the "
            "authority that signs the clients, where client_verify is true. "
            f"Received: {path} without."
        )
    certificate, key = config.server_cert.encode(), config.server_key.encode()
    check_certificates(certificate, f"server_cert in {path}")
    check_key(
        key, certificate, f"server_key in {path}", f"server_cert in {path}"
    )
    if config.custom_ca:
        check_certificates(config.custom_ca.encode(), f"custom_ca in {path}")
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def single_model_config(name: str, base_path: str) -> ModelServerConfig:
    """What --model_name and --model_base_path mean.

    A relative path counts from the current directory.
    """
    if "://" not in base_path:
        base_path = os.path.abspath(base_path)
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=base_path, model_platform="tensorflow"
    )
    return config
