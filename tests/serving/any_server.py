"""The local server, and the real one where there is one on PATH."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

import pytest

from deepfm_tf.serving.server.flags import parse_flags
from deepfm_tf.serving.server.server import Server

_REAL = "tensorflow_model_server"
_SECONDS = 60.0
SERVERS = [
    "local",
    pytest.param(
        "real",
        marks=[
            pytest.mark.tf_serving,
            pytest.mark.skipif(
                not shutil.which(_REAL), reason=f"{_REAL} is not on PATH"
            ),
        ],
    ),
]


@contextlib.contextmanager
def running_server(kind: str, flags: Sequence[str]) -> Iterator[int]:
    """A server with these flags; the port of its gRPC.

    Args:
        kind: str. `"local"`, in this process, or `"real"`, a process.
        flags: sequence of str. Without `--port`.
    """
    if kind == "local":
        with Server(parse_flags([*flags, "--port=0"])) as server:
            yield server.port
        return
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([_REAL, *flags, f"--port={port}"])
    try:
        _wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _wait_for_port(port: int) -> None:
    """The real server opens it when its models are loaded."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("localhost", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
