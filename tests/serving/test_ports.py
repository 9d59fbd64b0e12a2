"""Binding ports."""

import socket

import pytest

from deepfm_tf.serving.ports import bind


def test_a_taken_port_is_named_with_its_flag():
    with bind(0, "--port") as bound:
        bound.listen()
        port = bound.getsockname()[1]

        with pytest.raises(
            ValueError, match=f"{port} .another server has it.*--rest_api_port"
        ):
            bind(port, "--rest_api_port")


def test_the_protocol_is_named():
    """Without it asyncio leaves Nagle's algorithm on: 40 ms an answer."""
    with bind(0, "--port") as bound:
        assert bound.proto == socket.IPPROTO_TCP
