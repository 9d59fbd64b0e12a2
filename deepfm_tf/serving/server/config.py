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
    wrappers_pb2,
)
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.errors import UserError
from deepfm_tf.serving.engine.batching import BatchingOptions
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.tls import check_certificates, check_key

METRICS_PATH = "/monitoring/prometheus/metrics"

_Message = TypeVar("_Message", bound=message.Message)
_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"
_INT64_VALUE = ".google.protobuf.Int64Value"
# The official package has no Python for these three files: message to field
# to type. Text format knows fields by name, so that the numbers are ours.
_MESSAGES: dict[str, dict[str, int | str]] = {
    "BatchingParameters": {
        "max_batch_size": _INT64_VALUE,
        "batch_timeout_micros": _INT64_VALUE,
        "max_enqueued_batches": _INT64_VALUE,
        "num_batch_threads": _INT64_VALUE,
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": _Field.TYPE_INT64,  # repeated
        "pad_variable_length_inputs": _Field.TYPE_BOOL,
        "enable_large_batch_splitting": ".google.protobuf.BoolValue",
        "max_execution_batch_size": _INT64_VALUE,
    },
    "PrometheusConfig": {
        "enable": _Field.TYPE_BOOL,
        "path": _Field.TYPE_STRING,
    },
    "MonitoringConfig": {
        "prometheus_config": f".{_PACKAGE}.PrometheusConfig",
    },
    "SSLConfig": {
        "server_key": _Field.TYPE_STRING,
        "server_cert": _Field.TYPE_STRING,
        "custom_ca": _Field.TYPE_STRING,
        "client_verify": _Field.TYPE_BOOL,
    },
}
_REPEATED = {"allowed_batch_sizes"}


def message_type(name: str) -> type[message.Message]:
    """The class of one of TensorFlow Serving's own configuration messages.

    Args:
        name: str. `"BatchingParameters"`, `"MonitoringConfig"`,
            `"PrometheusConfig"` or `"SSLConfig"`.

    Returns:
        A protobuf message class with the real one's field names.

    Example:
        >>> parameters = message_type("BatchingParameters")()
        >>> parameters.max_batch_size.value = 32
    """
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(_file_descriptor(wrappers.name))
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    )


def read_text_proto(path: str | os.PathLike[str], into: _Message) -> _Message:
    """Fill a message from a file in protobuf's text format.

    Args:
        path: path. A UTF-8 file.
        into: message. An empty one; it is changed.

    Returns:
        `into`.

    Raises:
        ValueError: the file is missing, or is not such a text.
    """
    name = into.DESCRIPTOR.full_name
    try:
        with open(path, encoding="utf-8") as file:
            return text_format.Parse(file.read(), into)
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


def read_batching_options(options: Options) -> BatchingOptions | None:
    """What --enable_batching and its file ask for; None for no batching.

    Raises:
        ValueError: the file is missing, wrong, or asks for what must not be.
    """
    if not options.enable_batching:
        return None
    path = options.batching_parameters_file
    if not path:
        return BatchingOptions()
    parameters: Any = read_text_proto(
        path, message_type("BatchingParameters")()
    )
    given = {
        field.name: getattr(value, "value", value)
        for field, value in parameters.ListFields()
        if field.name != "thread_pool_name"  # a name for the log alone
    }
    if "allowed_batch_sizes" in given:
        given["allowed_batch_sizes"] = tuple(given["allowed_batch_sizes"])
    try:
        return BatchingOptions(**given)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def read_server_credentials(path: str) -> grpc.ServerCredentials | None:
    """What a server's TLS file says.

    Args:
        path: str. Of a text SSLConfig; "" means none.

    Returns:
        The credentials; None without a file.

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


def _file_descriptor(wrappers: str) -> descriptor_pb2.FileDescriptorProto:
    """The messages of `_MESSAGES`, as the compiler would describe them."""
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="deepfm_tf/serving/config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers],
    )
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added = described.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED
                if field in _REPEATED
                else _Field.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                added.type, added.type_name = _Field.TYPE_MESSAGE, kind
            else:
                added.type = kind
    return file
