"""A blocking client for TensorFlow Serving, and what both clients share."""

# mypy: disable-error-code="no-any-return"
# What a method of both returns depends on how its requests are carried.
from __future__ import annotations

import abc
import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, Union

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from deepfm_tf.arrays import Array
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.serving.client.calls import ClientCore
from deepfm_tf.serving.client.columns import Data
from deepfm_tf.serving.client.errors import PredictError, predict_error
from deepfm_tf.serving.client.signature import (
    Classes,
    ModelMetadata,
    Requests,
    Steps,
    Target,
    VersionStatus,
)
from deepfm_tf.serving.tls import check_certificates

# Whether, and how, a channel is encrypted.
Ssl = Union[bool, str, Path, bytes, grpc.ChannelCredentials]  # noqa: UP007
# Requests in flight of one call: enough to keep a server busy while the next
# is packed, few enough to bound memory.
MAX_IN_FLIGHT = 4
# Only UNAVAILABLE is safe to send again: the server did not take it on. gRPC
# counts the attempts and waits between them, about a second in all.
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# Calls are cut to stay under gRPC's usual 4 MiB; where a signature does not
# tell how large an answer is, this lets a larger one through.
_MAX_RECEIVE_BYTES = 64 * 2**20
# gRPC keeps what it may have to send again; above its default of 256 KiB it
# would not retry at all.
_RETRY_BUFFER_BYTES = 8 * 2**20

T = TypeVar("T")
# What the methods give: their answers, or awaitables of these.
OutputsT = TypeVar("OutputsT")
ClassesT = TypeVar("ClassesT")
NumbersT = TypeVar("NumbersT")
StatusT = TypeVar("StatusT")
MetadataT = TypeVar("MetadataT")


class ModelClient(
    abc.ABC, Generic[OutputsT, ClassesT, NumbersT, StatusT, MetadataT]
):
    """What both clients are asked, whatever carries their requests."""

    _grpc: Any  # the module that opens channels

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
        options, credentials = (
            channel_options(address),
            channel_credentials(ssl),
        )
        self._channel = (
            self._grpc.insecure_channel(address, options)
            if credentials is None
            else self._grpc.secure_channel(address, credentials, options)
        )
        self._methods = _methods(self._channel)

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
        target = Target(signature, version, label)
        return self._run(self._core.predict(data, target, outputs), timeout)

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
        target = Target(signature, version, label)
        call = self._core.rank(context, candidates, target, outputs)
        return self._run(call, timeout)

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
        target = Target(signature, version, label)
        return self._run(self._core.classify(examples, target), timeout)

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
        target = Target(signature, version, label)
        return self._run(self._core.regress(examples, target), timeout)

    def status(
        self, *, version: int | None = None, timeout: float | None = None
    ) -> StatusT:
        """The state of each version that the server has had, newest first."""
        target = Target("", version)
        return self._run(self._core.status(target), timeout)

    def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> MetadataT:
        """The version served, and its signatures, asked anew."""
        target = Target("", version, label)
        return self._run(self._core.metadata(target), timeout)

    @abc.abstractmethod
    def _run(self, call: Steps[Any], timeout: float | None) -> Any:
        """Send what a call asks for, and give what it returns."""

    def _error(
        self, error: grpc.RpcError, timeout: float | None
    ) -> PredictError:
        return predict_error(error, self.address, self.model_name, timeout)


class PredictClient(
    ModelClient[Any, Classes, Array, list[VersionStatus], ModelMetadata]
):
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

    _grpc = grpc

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, call: Steps[T], timeout: float | None) -> T:
        timeout = check_timeout(timeout, self._timeout)
        try:
            requests = next(call)
            while True:
                try:
                    answers = self._send(requests, timeout)
                except grpc.RpcError as error:
                    requests = call.throw(self._error(error, timeout))
                else:
                    requests = call.send(answers)
        except StopIteration as end:
            answer: T = end.value
            return answer

    def _send(self, requests: Requests, timeout: float | None) -> list[Any]:
        method = self._methods[requests.method]
        if requests.count == 1:
            return [method(next(requests.messages), timeout=timeout)]
        answers = []
        pending: deque[grpc.Future] = deque()
        try:
            for request in requests.messages:
                if len(pending) == MAX_IN_FLIGHT:
                    answers.append(pending.popleft().result())
                pending.append(method.future(request, timeout=timeout))
            while pending:
                answers.append(pending.popleft().result())
        finally:
            for future in pending:
                future.cancel()
        return answers


def check_timeout(
    timeout: float | None, default: float | None = None
) -> float | None:
    """The seconds that a request may take; refused unless above 0."""
    timeout = default if timeout is None else timeout
    if timeout is not None and not timeout > 0:
        raise UserError(
            "`timeout` must be a positive number of seconds, or None to wait "
            f"forever. Received: timeout={timeout}."
        )
    return timeout


def channel_options(address: str) -> list[tuple[str, Any]]:
    """gRPC's options for a channel of ours.

    Raises:
        ValueError: the address cannot be one of gRPC's.
    """
    if address.startswith(("http:", "https:")) or ":" not in address:
        raise UserError(
            "The address must be host:port, such as 'localhost:8500' (gRPC's "
            f"port, not REST's). Received: '{address}'."
        )
    services = [
        {"service": f"tensorflow.serving.{name}Service"}
        for name in ("Prediction", "Model")
    ]
    policy = {"name": services, "retryPolicy": _RETRY_POLICY}
    config: dict[str, Any] = {"methodConfig": [policy]}
    if address.startswith("dns:"):
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES),
        # A server that was away is found again within seconds; left alone,
        # gRPC waits up to two minutes between its tries.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3000),
    ]


def channel_credentials(ssl: Ssl) -> grpc.ChannelCredentials | None:
    """What a client's `ssl` stands for; None is no encryption.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no certificates.
    """
    if ssl is False:
        return None
    if isinstance(ssl, grpc.ChannelCredentials):
        return ssl
    if ssl is True:
        return grpc.ssl_channel_credentials()
    if isinstance(ssl, (str, Path)):
        if not Path(ssl).is_file():
            raise MissingFileError(
                "`ssl` must be a file of root certificates (PEM). There is no "
                f"file {ssl}."
            )
        name, ssl = f"`ssl` ({ssl})", Path(ssl).read_bytes()
        check_certificates(ssl, name)
    return grpc.ssl_channel_credentials(ssl)


def _methods(channel: Any) -> dict[str, Any]:
    """The calls that a client makes, by name, over a channel of any kind."""
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    status = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
        "Predict": service.Predict,
        "Classify": service.Classify,
        "Regress": service.Regress,
        "GetModelMetadata": service.GetModelMetadata,
        "GetModelStatus": status.GetModelStatus,
    }
