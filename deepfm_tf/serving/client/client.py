"""The clients for TensorFlow Serving: a blocking one, and one for asyncio."""

# mypy: disable-error-code="no-any-return"
# What a method of both returns depends on how its requests are carried.
from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.serving.client.calls import Call, Model
from deepfm_tf.serving.client.channel import (
    Ssl,
    channel_credentials,
    channel_options,
    predict_error,
)
from deepfm_tf.serving.client.columns import Data
from deepfm_tf.serving.signature import (
    Classes,
    ModelMetadata,
    Target,
    VersionStatus,
)

# Requests in flight of one call: enough to keep a server busy while the next
# is packed, few enough to bound memory.
_MAX_IN_FLIGHT = 4

T = TypeVar("T")
# What the methods give: their answers, or awaitables of these.
OutputsT = TypeVar("OutputsT")
ClassesT = TypeVar("ClassesT")
NumbersT = TypeVar("NumbersT")
StatusT = TypeVar("StatusT")
MetadataT = TypeVar("MetadataT")


class ModelClient(Generic[OutputsT, ClassesT, NumbersT, StatusT, MetadataT]):
    """What both clients are asked, whatever carries their requests."""

    # What they differ in: the module that opens channels; from a call to what
    # it returns, or an awaitable of it; from a method, a message and seconds
    # to a request under way; from that to an awaitable of its answer.
    _grpc: Any
    _run: Any
    _start: Any
    _answer: Any

    def __init__(
        self,
        address: str,
        model_name: str = "deepfm",
        *,
        timeout: float | None = 60.0,
        ssl: Ssl = False,
        max_rows: int = 65_536,
        missing_values: Sequence[str] = (),
    ) -> None:
        self.address = address
        self.model_name = model_name
        self._model = Model(model_name, address, max_rows, missing_values)
        self._timeout = _checked_timeout(timeout)
        options = channel_options(address)
        credentials = channel_credentials(ssl)
        channel = self._channel = (
            self._grpc.insecure_channel(address, options)
            if credentials is None
            else self._grpc.secure_channel(address, credentials, options)
        )
        self._methods = {
            **vars(prediction_service_pb2_grpc.PredictionServiceStub(channel)),
            **vars(model_service_pb2_grpc.ModelServiceStub(channel)),
        }

    def predict(
        self,
        data: Data,
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> OutputsT:
        """The model's outputs for all rows, in their order.

        Args:
            data: DataFrame, Arrow table, dict of columns (lists, arrays,
                Series), or list of rows as dicts. A column is called like
                its field, or like the input. Columns that the model does
                not take, such as the label, are ignored. None and NaN
                are missing: `""` for text, NaN for floating-point numbers,
                an error for integers. An input for which there is no column
                is an error, unless the server has a default for it.
            signature: str. Which of the model's signatures.
            version: int or None. Which version. None is the newest.
            label: str or None. A version by its label, instead.
            outputs: names or None. The outputs wanted. None is all.
            timeout: float or None. Seconds for each request, in place of
                the client's.

        Returns:
            The output's array, as the server shapes it, (rows, …); where
            there are several outputs, a dict of arrays by output name. Text
            is `bytes`.
        """
        call = self._call(timeout, signature, version, label)
        return self._run(call.predict(data, outputs))

    def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        *,
        signature: str = "rank",
        version: int | None = None,
        label: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> OutputsT:
        """The model's outputs for many candidates in one context.

        Args:
            context: a dict with one value for each field of the context (or
                a Series, or anything of one row that `predict` takes).
            candidates: the candidates' fields, as `predict` takes rows.
            signature, version, label, outputs, timeout: as in `predict`.

        Returns:
            As `predict`: (candidates, …).
        """
        call = self._call(timeout, signature, version, label)
        return self._run(call.rank(context, candidates, outputs))

    def classify(
        self,
        examples: Any,
        *,
        signature: str = "classify",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ClassesT:
        """Labels and scores of the classes, for each example.

        Args:
            examples: rows as `predict` takes them, or a list of
                `tf.train.Example`s. What is missing is sent as such, or
                left out where the model does not tell its fields.
            signature, version, label, timeout: as in `predict`.

        Returns:
            Classes: `labels` (N, classes) `str`, `scores` (N, classes).
        """
        call = self._call(timeout, signature, version, label)
        return self._run(call.classify(examples))

    def regress(
        self,
        examples: Any,
        *,
        signature: str = "regress",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> NumbersT:
        """One float32 for each example, shape (N,); else as `classify`."""
        call = self._call(timeout, signature, version, label)
        return self._run(call.regress(examples))

    def status(
        self, *, version: int | None = None, timeout: float | None = None
    ) -> StatusT:
        """The state of each version that the server has had, newest first."""
        return self._run(self._call(timeout, "", version).status())

    def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> MetadataT:
        """The version served, and its signatures, asked anew."""
        return self._run(self._call(timeout, "", version, label).metadata())

    def _call(
        self,
        timeout: float | None,
        signature: str,
        version: int | None,
        label: str | None = None,
    ) -> Call:
        """A call that this client sends."""
        seconds = self._timeout if timeout is None else timeout
        _checked_timeout(seconds)

        async def send(
            name: str, messages: Iterator[Any], count: int
        ) -> list[Any]:
            method = self._methods[name]
            try:
                return await self._send(method, messages, count, seconds)
            except grpc.RpcError as error:
                raise predict_error(
                    error, self.address, self.model_name, seconds
                ) from error

        return Call(self._model, Target(signature, version, label), send)

    async def _send(
        self,
        method: Any,
        messages: Iterator[Any],
        count: int,
        timeout: float | None,
    ) -> list[Any]:
        """The answers to some messages, a few of which are on their way."""
        answers = []
        pending: deque[Any] = deque()
        try:
            for message in messages:
                if len(pending) == _MAX_IN_FLIGHT:
                    answers.append(await self._answer(pending.popleft()))
                pending.append(self._start(method, message, timeout))
            while pending:
                answers.append(await self._answer(pending.popleft()))
        finally:
            for started in pending:
                started.cancel()
        return answers


class PredictClient(
    ModelClient[Any, Classes, Array, list[VersionStatus], ModelMetadata]
):
    """Predictions of a served model, from frames, columns or rows.

    Works with any server that speaks TensorFlow Serving's gRPC API. Reads
    the model's signatures once, and again when the server changes versions;
    converts every column to what the signature wants, and names a missing,
    misspelt or unsuitable one. Exports of this package also tell their fields
    (signature `fields`): columns are then called like the fields and read as
    in training, with the schema's marks of missing numbers and lists in place
    of joined texts. Input of any size: it is cut so that no message passes
    4 MB, the parts are sent a few at a time, and their order is kept; all of
    an answer is from one version of the model. A request that finds the
    server unavailable is sent again, up to three times within about a second;
    no other is.

    One client may be used by many threads. Close it, or use `with`.

    Args:
        address: str. `host:port`; `unix:/path/of/socket`; or
            `dns:///name:port`, which spreads the requests over all hosts of
            that name.
        model_name: str. The model. Defaults to "deepfm".
        timeout: float or None. Seconds that each request may take; `None`
            waits forever. Defaults to 60.
        ssl: False for an unencrypted channel; True to trust the system's
            authorities; the path or the bytes of root certificates (PEM); or
            grpc.ChannelCredentials, for a server that verifies its clients.
            Defaults to False.
        max_rows: int. Rows of a request at most. Set it to the server's
            `max_batch_size` where that is smaller. Defaults to 65,536.
        missing_values: texts that `predict` and `rank` take for missing,
            besides those that the model was trained with. Defaults to none.

    Raises:
        ValueError: what was given does not fit the model's signature.
        PredictError: the server could not be reached or refused; it has
            gRPC's `code` and `details`, and the `target`.

    Example:

    >>> client = PredictClient("localhost:8500", model_name="deepfm")
    >>> client.close()  # nothing has been sent yet
    >>> with PredictClient("localhost:8500") as client:  # doctest: +SKIP
    ...     client.predict({"site": ["a", "b"], "price": [1.5, None]})
    array([0.125, 0.5], dtype=float32)
    """

    _grpc = grpc

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            while True:  # once: nothing in it waits for a loop
                call.send(None)
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def _send(
        self,
        method: Any,
        messages: Iterator[Any],
        count: int,
        timeout: float | None,
    ) -> list[Any]:
        if count == 1:  # without the thread of a future
            return [method(next(messages), timeout=timeout)]
        return await super()._send(method, messages, count, timeout)

    def _start(self, method: Any, message: Any, timeout: float | None) -> Any:
        return method.future(message, timeout=timeout)

    async def _answer(self, started: Any) -> Any:
        return started.result()


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
        address, model_name, timeout, ssl, max_rows, missing_values: as in
            `PredictClient`.

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

    def _run(self, call: Coroutine[Any, Any, T]) -> Awaitable[T]:
        return call

    def _start(self, method: Any, message: Any, timeout: float | None) -> Any:
        return method(message, timeout=timeout)

    async def _answer(self, started: Any) -> Any:
        return await started


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise UserError(
            "`timeout` must be a positive number of seconds, or None to wait "
            f"forever. Received: timeout={timeout}."
        )
    return timeout
