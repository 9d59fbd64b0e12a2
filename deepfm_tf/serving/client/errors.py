"""What a client says when a server does not answer as it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grpc

_START_ONE = (
    "Start one: `deepfm-tf serve --port=8500 --model_name={model} "
    "--model_base_path=/absolute/path/to/saved_models/{model}`, or check the "
    "address (gRPC listens on 8500 by default, REST on 8501) and, if the "
    "server speaks TLS, {ssl}."
)
# What a caller of the client calls these things.
_PYTHON = {
    "timeout": "`timeout`",
    "max_rows": "`max_rows`",
    "ssl": "`ssl`",
    "versions": "`status()` lists the versions there are.",
}
# What the codes mean here. The server's own words always follow.
_REASONS = {
    grpc.StatusCode.UNAVAILABLE: "No server answers at {target}.",
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "{target} did not answer within {seconds} seconds. Set a longer "
        "{timeout}, or send fewer rows at a time ({max_rows})."
    ),
    grpc.StatusCode.NOT_FOUND: (
        "{target} does not have the model '{model}', or not that version of "
        "it. {versions}"
    ),
    grpc.StatusCode.INVALID_ARGUMENT: "{target} refused the request.",
    grpc.StatusCode.FAILED_PRECONDITION: "{target} refused the request.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        "A message was too large, or {target} is overloaded. Send fewer rows "
        "at a time ({max_rows})."
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
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
    text = explanation(code, details, target, model_name, timeout)
    return PredictError(text, code, details, target)


def explanation(
    code: grpc.StatusCode,
    details: str,
    target: str,
    model_name: str,
    timeout: float | None,
    names: Mapping[str, str] = _PYTHON,
) -> str:
    """What happened and what to do, in the caller's own words.

    Args:
        code: grpc.StatusCode. What the call ended with.
        details: str. The server's message, or gRPC's.
        target: str. The address.
        model_name: str. The model asked for.
        timeout: float or None. Seconds that the call had.
        names: mapping. What the caller calls `timeout`, `max_rows` and
            `ssl`, and a sentence on `versions`. Defaults to Python's.
    """
    words = {
        **names,
        "target": target,
        "model": model_name,
        "seconds": timeout,
    }
    text = _REASONS.get(code, "{target} failed.").format(**words)
    said = f" It says: {details}" if details else ""
    if code is grpc.StatusCode.UNAVAILABLE:
        text += " " + _START_ONE.format(**words)
        said = f" gRPC says: {details}"
    return f"{text}{said} [{code.name}]"


def shown(names: Iterable[str], limit: int = 20) -> str:
    """Names for a message: quoted, the first `limit` of them."""
    quoted = [f"'{name}'" for name in names]
    more = len(quoted) - limit
    text = ", ".join(quoted[:limit]) or "none"
    return f"{text} and {more} more" if more > 0 else text
