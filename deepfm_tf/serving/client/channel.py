"""The way to a server: how it is opened, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Union

import grpc

from deepfm_tf.errors import UserError
from deepfm_tf.serving.connections import client_credentials

# Whether, and how, a channel is encrypted.
Ssl = Union[bool, str, Path, bytes, grpc.ChannelCredentials]  # noqa: UP007
# Only UNAVAILABLE is safe to send again: the server did not take it on. gRPC
# counts the attempts and waits between them, about a second in all.
RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# Calls are cut to stay under gRPC's usual 4 MiB; where a signature does not
# tell how large an answer is, this lets a larger one through.
_MAX_RECEIVE_BYTES = 64 * 2**20
# gRPC keeps what it may have to send again; above its default of 256 KiB it
# would not retry at all.
_RETRY_BUFFER_BYTES = 8 * 2**20
# What the codes mean here. The server's own words always follow.
_REASONS = {
    "UNAVAILABLE": (
        "No server answers at {target}. Start one: `deepfm-tf serve "
        "--port=8500 --model_name={model} --model_base_path=/absolute/path/to/"
        "saved_models/{model}`, or check the address (gRPC listens on 8500 by "
        "default, REST on 8501) and, if the server speaks TLS, `ssl`."
    ),
    "DEADLINE_EXCEEDED": (
        "{target} did not answer within {seconds} seconds. Set a longer "
        "`timeout`, or send fewer rows at a time (`max_rows`)."
    ),
    "NOT_FOUND": (
        "{target} does not have the model '{model}', or not that version of "
        "it. `status()` lists the versions there are."
    ),
    "INVALID_ARGUMENT": "{target} refused the request.",
    "FAILED_PRECONDITION": "{target} refused the request.",
    "RESOURCE_EXHAUSTED": (
        "A message was too large, or {target} is overloaded. Send fewer rows "
        "at a time (`max_rows`)."
    ),
    "UNIMPLEMENTED": (
        "{target} answers, but does not speak TensorFlow Serving's gRPC API, "
        "or not all of it."
    ),
}


class PredictError(RuntimeError):
    """A server could not be reached, or did not answer a request.

    The message says in words what happened and what to do; the attributes
    keep what gRPC said. Mistakes that show before anything is sent, such as
    a missing column, are `ValueError`.

    Args:
        message: str. What happened, and how to mend it.
        code: grpc.StatusCode or None.
        details: str. The server's message (or gRPC's), as it came.
        target: str. The address.

    Example:

    >>> error = PredictError("No.", grpc.StatusCode.NOT_FOUND, "", "host:1")
    >>> error.code.name, error.target
    ('NOT_FOUND', 'host:1')
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode | None = None,
        details: str = "",
        target: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.target = target


def predict_error(
    error: grpc.RpcError, target: str, model_name: str, timeout: float | None
) -> PredictError:
    """The PredictError of what a gRPC call raised."""
    code, details = error.code(), error.details() or ""
    text = _REASONS.get(code.name, "{target} failed.").format(
        target=target, model=model_name, seconds=timeout
    )
    says = "gRPC says" if code is grpc.StatusCode.UNAVAILABLE else "It says"
    said = f" {says}: {details}" if details else ""
    return PredictError(f"{text}{said} [{code.name}]", code, details, target)


def channel_options(address: str) -> list[tuple[str, Any]]:
    """gRPC's options for a channel; a ValueError for what is no address."""
    if address.startswith(("http:", "https:")) or ":" not in address:
        raise UserError(
            "The address must be host:port, such as 'localhost:8500' (gRPC's "
            f"port, not REST's). Received: '{address}'."
        )
    services = [
        {"service": f"tensorflow.serving.{name}Service"}
        for name in ("Prediction", "Model")
    ]
    policy = {"name": services, "retryPolicy": RETRY_POLICY}
    config: dict[str, Any] = {"methodConfig": [policy]}
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
    """What a client's `ssl` stands for; None is no encryption."""
    if ssl is False:
        return None
    if isinstance(ssl, grpc.ChannelCredentials):
        return ssl
    if isinstance(ssl, (str, Path)):
        return client_credentials(str(ssl))
    return grpc.ssl_channel_credentials(None if ssl is True else ssl)
