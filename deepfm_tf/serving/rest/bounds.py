"""Bodies of REST requests, read and unpacked within bounds."""

from __future__ import annotations

import threading
import zlib

import grpc
from starlette.requests import Request

from deepfm_tf.serving.errors import ServingError, invalid_argument

# All bodies together may take as much as this many of the largest.
_MAX_BODIES = 2


class BodyTooLarge(ServingError):
    """Answered 413, which is no gRPC code.

    Args:
        limit: int. Bytes that a body may have.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The body has more than {limit} bytes. Send fewer rows in a "
            "request.",
        )


class BodyMemory:
    """What the bodies of all requests under way may take together.

    Slow clients could otherwise fill the memory with bodies that are almost
    complete; and a body that means to takes 50 times its size when it is
    turned into tensors or examples.

    Args:
        max_body_bytes: int. Of one body, before and after it is unpacked.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self.limit = _MAX_BODIES * max_body_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, num_bytes: int) -> None:
        """Counts bytes that arrived; negative where they are let go.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where there is no room.
        """
        with self._lock:
            if num_bytes > 0 and self._taken + num_bytes > self.limit:
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "The bodies of all requests under way take more than "
                    f"{self.limit} bytes. Try again later.",
                )
            self._taken += num_bytes


class Body:
    """The body of one request.

    Args:
        memory: BodyMemory. Where its bytes are counted until `release`.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._num_bytes = 0
        self._encoding = ""
        self._content: bytes | bytearray = b""

    async def read(self, request: Request) -> None:
        """Takes the bytes as they arrive.

        Raises:
            ServingError: BodyTooLarge, already for the announced length, or
                RESOURCE_EXHAUSTED.
        """
        limit = self._memory.max_body_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            raise BodyTooLarge(limit)
        self._encoding = request.headers.get("content-encoding", "").lower()
        content = bytearray()
        async for chunk in request.stream():
            if len(content) + len(chunk) > limit:
                raise BodyTooLarge(limit)
            self._take(len(chunk))
            content += chunk
        self._content = content

    def unpacked(self) -> bytes | bytearray:
        """The content, without gzip; a bomb is met before it has grown.

        Raises:
            ServingError: BodyTooLarge, or INVALID_ARGUMENT for another
                encoding and for what is not valid gzip.
        """
        if self._encoding in ("", "identity"):
            return self._content
        if self._encoding not in ("gzip", "x-gzip"):
            raise invalid_argument(
                "The body must be JSON, plain or with Content-Encoding: "
                "gzip. Received: Content-Encoding: "
                f"{self._encoding[:40]}."
            )
        limit = self._memory.max_body_bytes
        unpack = zlib.decompressobj(wbits=31)
        try:
            plain = unpack.decompress(self._content, limit + 1)
        except zlib.error as error:
            raise invalid_argument(
                f"The body is not valid gzip: {error}"
            ) from None
        if len(plain) > limit:
            raise BodyTooLarge(limit)
        # More members are refused: each costs a copy of what follows it.
        if not unpack.eof or unpack.unused_data:
            raise invalid_argument("The body must be one complete gzip member.")
        self._take(len(plain))
        return plain

    def release(self) -> None:
        """Gives its room back."""
        self._memory.take(-self._num_bytes)
        self._num_bytes = 0

    def _take(self, num_bytes: int) -> None:
        self._memory.take(num_bytes)
        self._num_bytes += num_bytes
