"""Codes and messages, and what becomes of TensorFlow's errors."""

import grpc
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError

from deepfm_tf.serving.errors import (
    ServingError,
    from_tensorflow,
    one_line,
)


def test_long_messages_are_cut():
    code = grpc.StatusCode.INTERNAL

    assert ServingError(code, "x" * 1024).message == "x" * 1024
    cut = ServingError(code, "x" * 1025).message
    assert cut == "x" * 1024 + "...TRUNCATED"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (tf.errors.InvalidArgumentError(None, None, "text"),
         "INVALID_ARGUMENT"),
        (tf.errors.DeadlineExceededError(None, None, "text"),
         "DEADLINE_EXCEEDED"),
        (tf.errors.UnavailableError(None, None, "text"), "UNAVAILABLE"),
        (tf.errors.OpError(None, None, "text", 99), "UNKNOWN"),
        (DecodeError("text"), "INVALID_ARGUMENT"),
        (UnicodeDecodeError("utf-8", b"text", 0, 1, "reason"),
         "INVALID_ARGUMENT"),
        (ServingError(grpc.StatusCode.ABORTED, "text"), "ABORTED"),
    ],
)  # fmt: skip
def test_errors_keep_their_code_and_text(error, code):
    found = from_tensorflow(error)

    assert (found.code.name, found.message) == (code, "text")


def test_other_errors_are_internal_and_named():
    found = from_tensorflow(KeyError("x"))

    assert found.code is grpc.StatusCode.INTERNAL
    assert found.message == "KeyError: 'x'"


def test_a_text_for_the_log_has_no_line_breaks_and_no_control_characters():
    assert one_line("a\n\tb  c \x1b[0m \N{SNOWMAN}") == (
        "a b c \\x1b[0m \N{SNOWMAN}"
    )
