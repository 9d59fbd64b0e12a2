"""The one exception of serving: a gRPC status code and its message."""

from __future__ import annotations

import logging

import grpc
import tensorflow as tf
from google.protobuf import message as protobuf_message

# TensorFlow Serving cuts its messages here.
_LIMIT = 1024
_CUT = "...TRUNCATED"
_LOG = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """What a client is told: a status code and a message.

    The text is cut after 1024 characters, as TensorFlow Serving does.

    >>> error = ServingError(grpc.StatusCode.NOT_FOUND, "no such model")
    >>> error.code.name, error.message
    ('NOT_FOUND', 'no such model')
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        if len(message) > _LIMIT:
            message = message[:_LIMIT] + _CUT
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def one_line(text: object) -> str:
    """A text for the log: no line breaks, nothing that terminals obey.

    >>> one_line("no such file\\n  [[node]] \\x1b[31m")
    'no such file [[node]] \\\\x1b[31m'
    """
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def invalid_argument(message: str) -> ServingError:
    """The commonest of them: the request is at fault, whenever it is sent."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error: Exception) -> ServingError:
    """The same failure as a status: TensorFlow's codes are gRPC's.

    A tf.errors.OpError keeps its code and message. Bytes that are no protocol
    buffer, or text that is no UTF-8, are the client's fault: INVALID_ARGUMENT,
    with what can be read of it. Anything else is INTERNAL, and logged with its
    traceback.

    >>> from_tensorflow(tf.errors.InvalidArgumentError(None, None, "rank"))
    ServingError('rank')
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
        return ServingError(code, error.message)
    if isinstance(error, UnicodeDecodeError):
        # What TensorFlow raises when an op's text quotes the client's bytes.
        return invalid_argument(error.object.decode(errors="replace"))
    if isinstance(error, protobuf_message.Error | UnicodeError):
        return invalid_argument(str(error))
    text = f"{type(error).__name__}: {error}"
    _LOG.error("A request failed: %s", one_line(text), exc_info=error)
    return ServingError(grpc.StatusCode.INTERNAL, text)
