"""A blocking client for TensorFlow Serving, real or local."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import grpc

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


class PredictClient:
    """Predictions of a served model, from frames, columns or rows.

    Works with any server that speaks TensorFlow Serving's gRPC API. Reads
    the model's signatures once, and again when the server changes versions;
    converts every column to what the signature wants, and names a missing,
    misspelt or unsuitable one before any data is sent. Exports of this
    package also tell their fields (signature `fields`): columns are then
    called like the fields and read as in training, with the schema's marks of
    missing numbers and lists in place of joined texts. Input of any size:
    it is cut so that no message passes 4 MB, the parts are sent a few at a
    time, and their order is kept; all of an answer is from one version of
    the model. A request that finds the server unavailable is sent again, up
    to three times within about a second; no other is.

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
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._methods = methods(self._channel)

    def predict(
        self,
        data: Data,
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Any:
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
        return self._run(
            self._core.predict(
                data, Choice(signature, version, label), outputs
            ),
            timeout,
        )

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
    ) -> Any:
        """The model's outputs for many candidates in one context.

        Args:
            context: a dict with one value for each field of the context (or
                a Series, or anything of one row that `predict` takes).
            candidates: the candidates' fields, as `predict` takes rows.
            signature, version, label, outputs, timeout: as in `predict`.

        Returns:
            As `predict`: (candidates, …).
        """
        return self._run(
            self._core.rank(
                context, candidates, Choice(signature, version, label), outputs
            ),
            timeout,
        )

    def classify(
        self,
        examples: Any,
        *,
        signature: str = "classify",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Classes:
        """Labels and scores of the classes, for each example.

        Args:
            examples: rows as `predict` takes them, or a list of
                `tf.train.Example`s. What is missing is sent as such, or
                left out where the model does not tell its fields.
            signature, version, label, timeout: as in `predict`.

        Returns:
            Classes: `labels` (N, classes) `str`, `scores` (N, classes).
        """
        choice = Choice(signature, version, label)
        return self._run(self._core.classify(examples, choice), timeout)

    def regress(
        self,
        examples: Any,
        *,
        signature: str = "regress",
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Array:
        """One float32 for each example, shape (N,); else as `classify`."""
        choice = Choice(signature, version, label)
        return self._run(self._core.regress(examples, choice), timeout)

    def status(
        self, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """The state of each version that the server has had, newest first."""
        choice = Choice("", version)
        return self._run(self._core.status(choice), timeout)

    def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ModelMetadata:
        """The version served, and its signatures, asked anew."""
        choice = Choice("", version, label)
        return self._run(self._core.metadata(choice, fresh=True), timeout)

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, call: Generator[Step, list, T], timeout: float | None) -> T:
        timeout = self._timeout if timeout is None else check_timeout(timeout)
        try:
            step = next(call)
            while True:
                try:
                    answers = self._send(step, timeout)
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

    def _send(self, step: Step, timeout: float | None) -> list:
        method = self._methods[step.method]
        if step.count == 1:
            return [method(next(step.requests), timeout=timeout)]
        answers = []
        pending: deque[grpc.Future] = deque()
        try:
            for request in step.requests:
                if len(pending) == MAX_IN_FLIGHT:
                    answers.append(pending.popleft().result())
                pending.append(method.future(request, timeout=timeout))
            while pending:
                answers.append(pending.popleft().result())
        finally:
            for future in pending:
                future.cancel()
        return answers
