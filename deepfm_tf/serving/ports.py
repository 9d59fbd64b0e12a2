"""Binding TCP ports, with errors that say what to do."""

from __future__ import annotations

import errno
import socket

from deepfm_tf.errors import UserError


def bind(port: int, flag: str) -> socket.socket:
    """A socket bound to a TCP port on all interfaces, not listening.

    Args:
        port: int. 0 picks a free one.
        flag: str. The flag that chose it, for the error.

    Raises:
        ValueError: the port is taken or not allowed.

    Example:
        >>> with bind(0, "--port") as bound:
        ...     bound.getsockname()[1] > 0
        True
    """
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol
    # is named; an answer would else wait 40 ms for the client's ACK.
    bound = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("0.0.0.0", port))
    except OSError as error:
        bound.close()
        why = (
            "another server has it"
            if error.errno == errno.EADDRINUSE
            else str(error.strerror)
        )
        raise UserError(
            f"{flag} must be a port that is free. Received: {port} ({why}). "
            f"Stop that server, or choose another port with {flag}."
        ) from error
    return bound
