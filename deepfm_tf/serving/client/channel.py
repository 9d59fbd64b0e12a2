"""How clients connect: TLS, message sizes, retries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Union

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.serving.tls import check_certificates

# Whether, and how, a channel is encrypted.
Ssl = Union[bool, str, Path, bytes, grpc.ChannelCredentials]  # noqa: UP007

# Requests in flight of one call: enough to keep a server busy while the next
# is packed, few enough to bound memory.
MAX_IN_FLIGHT = 4

# Only UNAVAILABLE is safe to send again: the server did not take it on. gRPC
# counts the attempts and waits between them, about a second in all.
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICES = (
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
# Calls are cut to stay under gRPC's usual 4 MiB; where a signature does not
# tell how large an answer is, this lets a larger one through.
_MAX_RECEIVE_BYTES = 64 * 2**20
# gRPC keeps what it may have to send again; above its default of 256 KiB it
# would not retry at all.
_RETRY_BUFFER_BYTES = 8 * 2**20


def channel_options(address: str) -> list[tuple[str, Any]]:
    """gRPC's options for a channel of ours.

    Raises:
        ValueError: the address cannot be one of gRPC's.
    """
    if address.startswith(("http:", "https:")) or ":" not in address:
        raise UserError(
            "The address must be host:port, such as 'localhost:8500' (gRPC's "
            f"port, not REST's). Received: '{address}'."
        )
    config: dict[str, Any] = {
        "methodConfig": [
            {
                "name": [{"service": service} for service in _SERVICES],
                "retryPolicy": _RETRY_POLICY,
            }
        ]
    }
    if address.startswith("dns:"):
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES),
        # A server that was away is found again within seconds; left alone,
        # gRPC waits up to two minutes between its tries.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3000),
    ]


def channel_credentials(ssl: Ssl) -> grpc.ChannelCredentials | None:
    """What `ssl` stands for; None is a channel without encryption.

    Args:
        ssl: False: none. True: trust the system's authorities. bytes, or the
            path of a PEM file: trust these root certificates.
            grpc.ChannelCredentials: as they are, for client certificates.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no certificates.
    """
    if ssl is False:
        return None
    if isinstance(ssl, grpc.ChannelCredentials):
        return ssl
    if ssl is True:
        return grpc.ssl_channel_credentials()
    if isinstance(ssl, (str, Path)):
        if not Path(ssl).is_file():
            raise MissingFileError(
                "`ssl` must be a file of root certificates (PEM). There is no "
                f"file {ssl}."
            )
        name, ssl = f"`ssl` ({ssl})", Path(ssl).read_bytes()
        check_certificates(ssl, name)
    return grpc.ssl_channel_credentials(ssl)


def methods(channel: Any) -> dict[str, Any]:
    """The calls that a client makes, by name, over a channel of any kind."""
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    status = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
        "Predict": service.Predict,
        "Classify": service.Classify,
        "Regress": service.Regress,
        "GetModelMetadata": service.GetModelMetadata,
        "GetModelStatus": status.GetModelStatus,
    }
