"""An end to waiting for clients that send their request too slowly."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

_LOOK_SECONDS = 1.0


class ReceiveDeadline:
    """Cancels calls whose request does not arrive in time.

    gRPC has deadlines of the client's, but none for a client that sends
    half a message and then nothing: it would keep its place for ever.

    Args:
        seconds: float. What a whole request may take to arrive.

    Example:
        deadline = ReceiveDeadline(60.0)
        with deadline.waiting(context):
            data = next(request_iterator)
        deadline.stop()
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        # In the order of their ends, as all wait equally long.
        self._waiting: dict[grpc.ServicerContext, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="receive-deadline", daemon=True
        )
        self._thread.start()

    @contextlib.contextmanager
    def waiting(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Have this call cancelled if the block takes too long."""
        with self._lock:
            self._waiting[context] = time.monotonic() + self._seconds
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[context]

    def stop(self) -> None:
        """Cancel nothing more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """Look from time to time."""
        while not self._stopped.wait(min(_LOOK_SECONDS, self._seconds)):
            now = time.monotonic()
            with self._lock:
                late = [c for c, end in self._waiting.items() if end < now]
            for context in late:
                context.cancel()
