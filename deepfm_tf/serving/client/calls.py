"""What a client asks a server, apart from sending: shared by both clients.

Each call is a coroutine that awaits nothing but what sends its messages.
Where that blocks instead, one step runs a call to its end, without a loop.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.serving.client import arrays as client_arrays
from deepfm_tf.serving.client.channel import PredictError
from deepfm_tf.serving.client.columns import (
    Data,
    as_columns,
    check_lengths,
    check_missing,
    match_columns,
    missing_message,
    rank_columns,
    to_examples,
)
from deepfm_tf.serving.signature import (
    FIELDS,
    ROWS,
    SIGNATURE,
    Classes,
    ModelMetadata,
    ServedFields,
    Signature,
    Target,
    VersionStatus,
)

# How the C++ core says that an input without a default was left out.
_INPUT_IS_MISSING = ("Missing but required", "not found in request")
# What an example's classes take in an answer, about.
_BYTES_PER_RESULT = 64
_CODES = grpc.StatusCode
# The calls that end so may be right for another version.
_REFUSED = (_CODES.INVALID_ARGUMENT, _CODES.FAILED_PRECONDITION)
# How often a server may change versions during one call.
_ATTEMPTS = 4
# A method, its messages and how many they are -> the answers, in that order.
Send = Callable[[str, Iterator[Any], int], Awaitable[list[Any]]]


@dataclasses.dataclass(frozen=True)
class Model:
    """What a client knows of a model, for all of its calls."""

    name: str
    address: str
    max_rows: int
    missing_values: Sequence[str] = ()
    # By version and label. Races do no harm: the last reader wins.
    known: dict[Any, ModelMetadata] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise UserError(
                "`max_rows` must be a positive integer. Received: "
                f"max_rows={self.max_rows}."
            )


@dataclasses.dataclass(frozen=True)
class _Requests:
    """What to ask about some rows."""

    method: str
    message: Callable[[Target, slice], Any]
    slices: Sequence[slice]
    # From the answers for all slices to what the call returns.
    finish: Callable[[list[Any]], Any]
    # Inputs for which there is no column; columns that are for no input.
    missing: Sequence[str] = ()
    others: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Call:
    """A call: whom it asks, and what sends its messages."""

    model: Model
    target: Target
    send: Send

    async def metadata(self, fresh: bool = True) -> ModelMetadata:
        """What the version takes; asked, unless known and `fresh` is False."""
        key = (self.target.version, self.target.label)
        if fresh or key not in self.model.known:
            self.model.known[key] = await self._read_metadata()
        return self.model.known[key]

    async def status(self) -> list[VersionStatus]:
        """The state of the versions, the newest first."""
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=self.target.spec(self.model.name)
        )
        answer = await self._ask("GetModelStatus", request)
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return sorted(
            [
                VersionStatus(v.version, name(v.state), v.status.error_message)
                for v in answer.model_version_status
            ],
            reverse=True,
        )

    async def predict(self, data: Data, outputs: Sequence[str] | None) -> Any:
        """Ask for predictions of all rows."""
        return await self._ask_one_version(
            lambda metadata, signature: self._prepare(
                as_columns(data, signature.inputs), signature, metadata, outputs
            )
        )

    async def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        outputs: Sequence[str] | None,
    ) -> Any:
        """Ask for predictions of all candidates in one context."""

        def prepare(metadata: ModelMetadata, signature: Signature) -> _Requests:
            name, fields = self.target.signature, metadata.fields
            columns = rank_columns(context, candidates, signature, name, fields)
            return self._prepare(columns, signature, metadata, outputs)

        return await self._ask_one_version(prepare)

    async def classify(self, examples: Any) -> Classes:
        """Ask for the classes of all examples."""
        answers = await self._ask_with_examples(
            examples, "Classify", classification_pb2.ClassificationRequest
        )
        rows = [row for a in answers for row in a.result.classifications]
        labels = [[c.label for c in row.classes] for row in rows]
        scores = [[c.score for c in row.classes] for row in rows]
        return Classes(
            np.array(labels, dtype=object).reshape(len(rows), -1),
            np.array(scores, dtype=np.float32).reshape(len(rows), -1),
        )

    async def regress(self, examples: Any) -> Array:
        """Ask for one number for each example."""
        answers = await self._ask_with_examples(
            examples, "Regress", regression_pb2.RegressionRequest
        )
        values = [r.value for a in answers for r in a.result.regressions]
        return np.array(values, dtype=np.float32)

    def _prepare(
        self,
        columns: Mapping[str, Any],
        signature: Signature,
        metadata: ModelMetadata,
        outputs: Sequence[str] | None,
    ) -> _Requests:
        outputs = [outputs] if isinstance(outputs, str) else outputs
        wanted = signature.chosen(outputs)
        inputs, fields = signature.inputs, metadata.fields
        matches = match_columns(columns, inputs, fields)
        others = [n for n in columns if n not in matches.values()]
        missing = [
            n for n in inputs if n not in {*matches, *signature.defaults}
        ]
        is_told = not matches or bool(signature.defaults)
        check_missing(missing, others, fields, is_told)
        arrays = {
            name: client_arrays.to_array(
                column,
                columns[column],
                inputs[name],
                fields.field(name, inputs[name].shape),
                bool(fields),
                self.model.missing_values,
            )
            for name, column in matches.items()
        }
        batched = {
            n: a for n, a in arrays.items() if a.ndim and inputs[n].is_batched
        }
        num_rows = check_lengths({n: len(a) for n, a in batched.items()})

        def message(asked: Target, rows: slice) -> Any:
            return predict_pb2.PredictRequest(
                model_spec=asked.spec(self.model.name),
                inputs={
                    n: client_arrays.to_proto(a[rows] if n in batched else a)
                    for n, a in arrays.items()
                },
                output_filter=outputs or (),
            )

        slices = [slice(0, num_rows)]
        if num_rows > 1 and batched and signature.can_be_split:
            in_answer = sum(info.answer_bytes for info in wanted.values())
            most = client_arrays.MAX_MESSAGE_BYTES // max(1, in_answer)
            slices = client_arrays.cut(
                client_arrays.bytes_of_rows(list(batched.values()), num_rows),
                min(self.model.max_rows, max(1, most)),
            )

        def finish(answers: list[Any]) -> Any:
            found = [answer.outputs for answer in answers]
            result = client_arrays.join(found, slices, self.model.address)
            return result if len(wanted) > 1 else next(iter(result.values()))

        return _Requests("Predict", message, slices, finish, missing, others)

    async def _ask_with_examples(
        self, examples: Any, method: str, kind: Any
    ) -> list[Any]:
        def prepare(metadata: ModelMetadata, _: Signature) -> _Requests:
            raw = metadata.signatures.get("serving_default")
            inputs = raw.inputs if raw else {}
            found = to_examples(examples, inputs, metadata.fields)
            sizes = np.fromiter((e.ByteSize() for e in found), np.int64)
            sizes += _BYTES_PER_RESULT
            slices = client_arrays.cut(sizes, self.model.max_rows)

            def message(asked: Target, rows: slice) -> Any:
                request = kind(model_spec=asked.spec(self.model.name))
                request.input.example_list.examples.extend(found[rows])
                return request

            return _Requests(method, message, slices if found else [], list)

        answers: list[Any] = await self._ask_one_version(prepare)
        return answers

    async def _ask_one_version(
        self, prepare: Callable[[ModelMetadata, Signature], _Requests]
    ) -> Any:
        """Ask about all rows; all answers are of one version of the model.

        And of one whose signatures and fields the requests were made by: a
        server may have gone on to a version with others. Then the call is
        prepared anew, by what that version takes, and that version asked.
        Nothing has been computed when it, or this client, refuses a request.
        """
        name, asked = self.target.signature, self.target
        metadata = await self.metadata(fresh=False)
        for _ in range(_ATTEMPTS):
            try:
                requests = prepare(metadata, metadata.signature(name))
                answers = await self._send(requests, asked)
            except (PredictError, ValueError) as error:
                is_ours = asked is self.target
                code = getattr(error, "code", None)
                is_gone = code is _CODES.NOT_FOUND and not is_ours
                may_be_stale = code in (None, *_REFUSED) or is_gone
                if self.target.version is not None or not may_be_stale:
                    raise
                fresh = await self.metadata()
                if is_ours and fresh.is_called_like(metadata):
                    raise
                metadata, asked = fresh, self.target
                continue
            versions = {a.model_spec.version.value for a in answers} - {0}
            is_pinned = self.target.version is not None
            if is_pinned or versions <= {metadata.version}:
                return requests.finish(answers)
            fresh = await self.metadata()
            if len(versions) == 1 and fresh.is_called_like(metadata):
                return requests.finish(answers)
            metadata, asked = fresh, Target(name, fresh.version)
        raise PredictError(
            f"{self.model.address} must answer a call by one version of the "
            f"model, but changed versions {_ATTEMPTS} times. Ask again, or "
            "choose one with `version`.",
            target=self.model.address,
        )

    async def _send(self, requests: _Requests, asked: Target) -> list[Any]:
        if not requests.slices:
            return []
        messages = (requests.message(asked, rows) for rows in requests.slices)
        count = len(requests.slices)
        try:
            return await self.send(requests.method, messages, count)
        except PredictError as error:
            # Recent servers keep the defaults of inputs to themselves. So a
            # request without some may be right.
            if requests.missing and any(
                words in error.details for words in _INPUT_IS_MISSING
            ):
                words = re.findall(r"\w+", error.details)
                named = [n for n in requests.missing if n in words]
                raise UserError(
                    missing_message(named or requests.missing, requests.others)
                ) from error
            raise

    async def _read_metadata(self, attempts: int = _ATTEMPTS) -> ModelMetadata:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self.target.spec(self.model.name),
            metadata_field=["signature_def"],
        )
        request.model_spec.ClearField("signature_name")
        answer = await self._ask("GetModelMetadata", request)
        metadata = ModelMetadata.from_response(answer)
        if not metadata.can_tell_fields:
            return metadata
        try:
            fields = await self._read_fields(metadata.version)
        except PredictError as error:
            is_gone = error.code is _CODES.NOT_FOUND
            if not is_gone or attempts == 1:
                raise
            return await self._read_metadata(attempts - 1)
        return dataclasses.replace(metadata, fields=fields)

    async def _read_fields(self, version: int) -> ServedFields:
        asked = Target(SIGNATURE, version or None)
        request = predict_pb2.PredictRequest(
            model_spec=asked.spec(self.model.name),
            inputs={ROWS: tf.make_tensor_proto([b""])},
        )
        answer = await self._ask("Predict", request)
        (text,) = tf.make_ndarray(answer.outputs[FIELDS]).flat
        return ServedFields.from_json(text)

    async def _ask(self, method: str, request: Any) -> Any:
        (answer,) = await self.send(method, iter([request]), 1)
        return answer
