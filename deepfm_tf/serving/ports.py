"""TCP ports: opened with errors that help, closed without losing a call."""

from __future__ import annotations

import errno
import itertools
import socket
import time

from deepfm_tf.errors import UserError

# A client that waits for its answers sends the next call within this time.
QUIET_SECONDS = 0.25
# One that does not wait never pauses: from here on it is to be refused, and
# after that the port closes all the same.
ANSWER_SECONDS, ANSWER_CALLS = 0.5, 512
MOST_SECONDS = 2.0


class Drain:
    """Tells when no more calls are on their way.

    A port that closes drops what has arrived and is not yet read: neither
    gRPC nor a TCP listener gives it out any more, and its clients see a
    cancelled call or a reset connection. So a server that stops answers
    nothing for a moment and goes on reading. Each client that waits for an
    answer then sends nothing more, and once no call comes, the port can be
    closed and the answers be sent.

    Not under a lock: each attribute is one assignment.

    Args:
        quiet_seconds: float. Without a call or an answer.
        most_seconds: float. After which the port is closed all the same.

    Attributes:
        has_begun: bool. Whether answers are to be held back.
    """

    def __init__(
        self,
        quiet_seconds: float = QUIET_SECONDS,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self.has_begun = False
        self._quiet_seconds = quiet_seconds
        self._most_seconds = most_seconds
        self._last_traffic = self._begin = 0.0
        self._calls = itertools.count(1)

    def note_call(self) -> bool:
        """A call has come; whether to answer it, and not to refuse it."""
        now = self._last_traffic = time.monotonic()
        is_soon = now < self._begin + ANSWER_SECONDS
        return not self.has_begun or (
            next(self._calls) <= ANSWER_CALLS and is_soon
        )

    def note_answer(self) -> None:
        """An answer goes out, and may bring the next call."""
        self._last_traffic = time.monotonic()

    def longest_hold(self, seconds_to_deadline: float | None) -> float:
        """How long an answer may wait, whose client waits no longer than that.

        A short deadline makes the moment without calls shorter as well.
        """
        left = max(seconds_to_deadline or 0.0, 0.0)
        if seconds_to_deadline is None:
            left = 4 * self._most_seconds
        self._quiet_seconds = min(self._quiet_seconds, left / 4)
        return min(left / 2, 2 * self._most_seconds)

    def begin(self) -> None:
        """Hold answers back from now on."""
        self._begin = time.monotonic()
        self.has_begun = True

    def seconds_left(self) -> float:
        """Until the port may be closed, as it looks now; 0 when it may."""
        end = min(
            self._last_traffic + self._quiet_seconds,
            self._begin + self._most_seconds,
        )
        return max(end - time.monotonic(), 0.0)


def bind(port: int, flag: str) -> socket.socket:
    """A socket bound to a TCP port on all interfaces, not listening.

    Port 0 picks a free one; the flag chose it.

    Raises:
        ValueError: the port is taken or not allowed.
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
