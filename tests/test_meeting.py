"""Workers that wait for each other, in Python."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from deepfm_tf.cluster import Cluster
from deepfm_tf.meeting import wait_for_workers
from tests.workers import free_ports

# Seconds, of what takes a moment.
LIMIT = 60


def pair():
    """The chief and the other worker, at ports that nobody uses."""
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    return [Cluster(addresses, index, "TF_CONFIG") for index in (0, 1)]


def test_the_chief_goes_on_first_and_the_others_when_it_listens():
    chief, other = pair()
    waiting = threading.Thread(
        target=wait_for_workers, args=(other, LIMIT), daemon=True
    )
    waiting.start()

    wait_for_workers(chief, LIMIT)

    assert waiting.is_alive()
    port = int(chief.addresses[0].rpartition(":")[2])
    with socket.create_server(("", port)):  # as TensorFlow's
        waiting.join(LIMIT)
    assert not waiting.is_alive()
    # And its port is free for its own.
    socket.create_server(("", int(other.addresses[1][10:]))).close()


def test_a_worker_that_does_not_come_is_named():
    chief, other = pair()

    with pytest.raises(
        ValueError, match=rf"0 s for {chief.addresses[1]}, without"
    ):
        wait_for_workers(chief, 0)
    with pytest.raises(
        ValueError, match=rf"0 s for {chief.addresses[0]}, without"
    ):
        wait_for_workers(other, 0)


def test_a_host_that_nobody_knows_is_told():
    names = ("localhost:1", "nohost.invalid:20000")

    with (
        pytest.raises(
            ValueError, match="for nohost.invalid:20000, without success"
        ),
        pytest.warns(
            UserWarning, match="the host nohost.invalid is not known here"
        ),
    ):
        wait_for_workers(Cluster(names, 0, "TF_CONFIG"), 0)


def test_sigterm_ends_a_worker_that_waits():
    chief, _ = pair()
    code = (
        "from deepfm_tf.cluster import Cluster\n"
        "from deepfm_tf.meeting import wait_for_workers\n"
        "print('waits', flush=True)\n"
        f"wait_for_workers(Cluster({chief.addresses}, 0, 'TF_CONFIG'))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdout.readline() == b"waits\n"

        process.send_signal(signal.SIGTERM)

        assert process.wait(LIMIT) == -signal.SIGTERM
