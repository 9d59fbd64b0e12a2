"""An asyncio client for TensorFlow Serving, real or local."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc.aio

from deepfm_tf.arrays import Array
from deepfm_tf.serving.client.client import (
    MAX_IN_FLIGHT,
    ModelClient,
    T,
    check_timeout,
)
from deepfm_tf.serving.client.signature import (
    Classes,
    ModelMetadata,
    Requests,
    Steps,
    VersionStatus,
)


class AsyncPredictClient(
    ModelClient[
        Awaitable[Any],
        Awaitable[Classes],
        Awaitable[Array],
        Awaitable[list[VersionStatus]],
        Awaitable[ModelMetadata],
    ]
):
    """`PredictClient` for asyncio: the same arguments, methods and answers.

    Each method gives an awaitable of what that of `PredictClient` returns.

    Make it, and use it, in the thread of one event loop. Converting columns
    happens in that thread too: cut very large frames, or use a
    `PredictClient` in a thread, where a pause of some milliseconds for each
    ten thousand rows would hurt.

    Args:
        address, model_name, timeout, ssl, max_rows: as in `PredictClient`.

    Example:

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncPredictClient("localhost:8500") as client:
    ...         return client.model_name
    >>> asyncio.run(main())
    'deepfm'
    """

    _grpc = grpc.aio

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncPredictClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _run(self, call: Steps[T], timeout: float | None) -> T:
        timeout = check_timeout(timeout, self._timeout)
        try:
            requests = next(call)
            while True:
                try:
                    answers = await self._send(requests, timeout)
                except grpc.RpcError as error:
                    requests = call.throw(self._error(error, timeout))
                else:
                    requests = call.send(answers)
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def _send(
        self, requests: Requests, timeout: float | None
    ) -> list[Any]:
        method = self._methods[requests.method]
        answers = []
        pending: deque[grpc.aio.UnaryUnaryCall] = deque()
        try:
            for message in requests.messages:
                if len(pending) == MAX_IN_FLIGHT:
                    answers.append(await pending.popleft())
                pending.append(method(message, timeout=timeout))
            while pending:
                answers.append(await pending.popleft())
        finally:
            for call in pending:
                call.cancel()
        return answers
