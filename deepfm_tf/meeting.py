"""Workers find each other before TensorFlow connects them."""

from __future__ import annotations

import contextlib
import socket
import time
import warnings

from deepfm_tf.cluster import Cluster
from deepfm_tf.errors import UserError

# As long as TensorFlow waits itself.
_LIMIT_SECONDS = 3600.0
# How long a worker that is not there is waited for in silence.
_QUIET_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_CONNECT_SECONDS = 1.0


def wait_for_workers(cluster: Cluster, limit: float = _LIMIT_SECONDS) -> None:
    """Wait until all workers that this one needs have started.

    TensorFlow waits with Python's lock in its hand, and takes SIGTERM for
    itself: neither that nor a handler of Python's could end it. So what may
    take an hour happens here, and TensorFlow waits for moments only.

    A worker listens at its address, and waits for the chief to do so too. The
    chief waits until all others listen. TensorFlow's own server, started by
    whatever else, is as good.

    Args:
        cluster: of several workers.
        limit: float. Seconds, after which it is given up.

    Raises:
        UserError: some do not come.
    """
    _warn_of_names(cluster)
    begin, is_told = time.monotonic(), False
    chief, *others = cluster.addresses
    wanted = others if cluster.is_chief else [chief]
    own = None if cluster.is_chief else cluster.addresses[cluster.index]
    with contextlib.ExitStack() as stack:
        server = _listening(own, stack)
        while missing := [each for each in wanted if not _listens(each)]:
            _take_calls(server)
            seconds = time.monotonic() - begin
            told = (
                f"Worker {cluster.index} of {cluster.num_workers} has waited "
                f"{seconds:.0f} s for {', '.join(missing)}"
            )
            if seconds > limit:
                raise UserError(
                    f"{told}, without success. Start the same command there, "
                    f"and check the addresses in {cluster.source}."
                )
            if seconds > _QUIET_SECONDS and not is_told:
                warnings.warn(f"{told}. It keeps waiting.", stacklevel=2)
                is_told = True
            time.sleep(_PAUSE_SECONDS)


def _warn_of_names(cluster: Cluster) -> None:
    """Tell of hosts that nobody knows, which TensorFlow waits for in silence.

    They may be about to start, as pods of Kubernetes are.
    """
    for address in cluster.addresses:
        host = address.rpartition(":")[0].strip("[]")
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            warnings.warn(
                f"{cluster.source} names the worker {address}, but the host "
                f"{host} is not known here yet ({error.strerror}). This "
                "worker waits for it, an hour at most. Check the name.",
                stacklevel=3,
            )


def _listening(
    address: str | None, stack: contextlib.ExitStack
) -> socket.socket | None:
    """A socket at an address; None where TensorFlow or nobody listens."""
    if address is None:
        return None
    is_dual = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", int(address.rpartition(":")[2])),
            family=socket.AF_INET6 if is_dual else socket.AF_INET,
            dualstack_ipv6=is_dual,
        )
    except OSError:
        # The worker before it has not ended yet; TensorFlow will see to it.
        return None
    server.setblocking(False)
    return stack.enter_context(server)


def _take_calls(server: socket.socket | None) -> None:
    """Hang up on those who call to see that somebody is there."""
    with contextlib.suppress(BlockingIOError):
        while server is not None:
            server.accept()[0].close()


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    place = host.strip("[]"), int(port)
    try:
        socket.create_connection(place, _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
