"""An asyncio client for TensorFlow Serving, real or local."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio

from deepfm_tf.arrays import Array
from deepfm_tf.serving.client.calls import ClientCore, check_timeout
from deepfm_tf.serving.client.channel import (
    MAX_IN_FLIGHT,
    Ssl,
    channel_credentials,
    channel_options,
    methods,
)
from deepfm_tf.serving.client.columns import Data
from deepfm_tf.serving.client.errors import predict_error
from deepfm_tf.serving.client.signature import ModelMetadata
from deepfm_tf.serving.client.types import (
    Choice,
    Classes,
    Step,
    VersionStatus,
)

T = TypeVar("T")


class AsyncPredictClient:
    """`PredictClient` for asyncio: the same arguments, methods and answers.

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

    def __init__(
        self,
        address: str,
        model_name: str = "deepfm",
        *,
        timeout: float | None = 60.0,
        ssl: Ssl = False,
        max_rows: int = 65_536,
    ) -> None:
        self.address = address
        self.model_name = model_name
        self._core = ClientCore(model_name, address, max_rows)
        self._timeout = check_timeout(timeout)
        options = channel_options(address)
        credentials = channel_credentials(ssl)
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options)
        )
        self._methods = methods(self._channel)

    async def predict(
        self,
        data: Data,
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """See `PredictClient.predict`."""
        choice = Choice(signature, version, label)
        call = self._core.predict(data, choice, outputs)
        return await self._run(call, timeout)

    async def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        *,
        signature: str = "rank",
        version: int | None = None,
        label: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """See `PredictClient.rank`."""
        choice = Choice(signature, version, label)
        call = self._core.rank(context, candidates, choice, outputs)
        return await self._run(call, timeout)

    async def classify(
        self,
        examples: Any,
        *,
        signature: str = "classify",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Classes:
        """See `PredictClient.classify`."""
        choice = Choice(signature, version, label)
        return await self._run(self._core.classify(examples, choice), timeout)

    async def regress(
        self,
        examples: Any,
        *,
        signature: str = "regress",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Array:
        """See `PredictClient.regress`."""
        choice = Choice(signature, version, label)
        return await self._run(self._core.regress(examples, choice), timeout)

    async def status(
        self, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """See `PredictClient.status`."""
        choice = Choice("", version)
        return await self._run(self._core.status(choice), timeout)

    async def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ModelMetadata:
        """See `PredictClient.metadata`."""
        choice = Choice("", version, label)
        call = self._core.metadata(choice, fresh=True)
        return await self._run(call, timeout)

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncPredictClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _run(
        self, call: Generator[Step, list, T], timeout: float | None
    ) -> T:
        timeout = self._timeout if timeout is None else check_timeout(timeout)
        try:
            step = next(call)
            while True:
                try:
                    answers = await self._send(step, timeout)
                except grpc.RpcError as error:
                    step = call.throw(
                        predict_error(
                            error, self.address, self.model_name, timeout
                        )
                    )
                else:
                    step = call.send(answers)
        except StopIteration as end:
            return end.value

    async def _send(self, step: Step, timeout: float | None) -> list:
        method = self._methods[step.method]
        answers = []
        pending: deque[grpc.aio.UnaryUnaryCall] = deque()
        try:
            for request in step.requests:
                if len(pending) == MAX_IN_FLIGHT:
                    answers.append(await pending.popleft())
                pending.append(method(request, timeout=timeout))
            while pending:
                answers.append(await pending.popleft())
        finally:
            for call in pending:
                call.cancel()
        return answers
