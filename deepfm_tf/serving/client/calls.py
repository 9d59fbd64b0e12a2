"""What a client does, apart from sending: shared by both clients.

Each call is a generator: it yields `Requests` and is sent their answers, so
that a blocking and an asyncio transport can drive it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.serving.client import arrays as client_arrays
from deepfm_tf.serving.client.columns import (
    Data,
    as_columns,
    check_missing,
    match_columns,
    missing_message,
    num_rows_of,
    rank_columns,
    to_examples,
)
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.signature import (
    Classes,
    MetadataReader,
    ModelMetadata,
    Requests,
    Steps,
    Target,
    VersionStatus,
)

# How the C++ core says that an input without a default was left out.
_INPUT_IS_MISSING = ("Missing but required", "not found in request")
# What an example's classes take in an answer, about.
_BYTES_PER_RESULT = 64
# The calls that end so may be right for another version.
_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# How often a server may change versions during one call.
_ATTEMPTS = 4


@dataclasses.dataclass(frozen=True)
class _Call:
    """What to ask about some rows.

    Args:
        method: str. The method of the service.
        request: the name of a model and a slice of rows -> a request.
        slices: of all rows, in their order.
        finish: the answers for all slices -> what the call returns.
    """

    method: str
    request: Callable[[Any, slice], Any]
    slices: Sequence[slice]
    finish: Callable[[list[Any]], Any]


# From what a version takes to what it is asked; may ask it something before.
_Prepare = Callable[[ModelMetadata], Steps[_Call]]


class ClientCore:
    """The calls of one model, as generators of steps.

    Args:
        model_name: str. The model.
        address: str. The address, for messages.
        max_rows: int. Rows of a request at most.
    """

    def __init__(self, model_name: str, address: str, max_rows: int) -> None:
        if max_rows < 1:
            raise UserError(
                "`max_rows` must be a positive integer. Received: "
                f"max_rows={max_rows}."
            )
        self._address = address
        self._max_rows = max_rows
        self._calls = _VersionedCalls(MetadataReader(model_name), address)
        # (version, signature, inputs) that a server has agreed to go without.
        self._optional: set[tuple[int, str, tuple[str, ...]]] = set()

    def metadata(self, target: Target) -> Steps[ModelMetadata]:
        """The version that answers and its signatures, asked anew."""
        return self._calls.metadata.read(target, fresh=True)

    def status(self, target: Target) -> Steps[list[VersionStatus]]:
        """The state of the versions, the newest first."""
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=self._calls.metadata.spec(target, with_signature=False)
        )
        (answer,) = yield Requests("GetModelStatus", iter([request]), 1)
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return sorted(
            [
                VersionStatus(v.version, name(v.state), v.status.error_message)
                for v in answer.model_version_status
            ],
            reverse=True,
        )

    def predict(
        self, data: Data, target: Target, outputs: Sequence[str] | None
    ) -> Steps[Any]:
        """Ask for predictions of all rows."""

        def prepare(metadata: ModelMetadata) -> Steps[_Call]:
            signature = metadata.signature(target.signature)
            columns = as_columns(data, signature.inputs)
            return self._prepare(columns, target, metadata, outputs)

        return (yield from self._calls.ask(target, prepare))

    def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        target: Target,
        outputs: Sequence[str] | None,
    ) -> Steps[Any]:
        """Ask for predictions of all candidates in one context."""

        def prepare(metadata: ModelMetadata) -> Steps[_Call]:
            columns = rank_columns(
                context,
                candidates,
                metadata.signature(target.signature),
                target.signature,
                metadata.fields,
            )
            return self._prepare(columns, target, metadata, outputs)

        return (yield from self._calls.ask(target, prepare))

    def classify(self, examples: Any, target: Target) -> Steps[Classes]:
        """Ask for the classes of all examples."""
        kind = classification_pb2.ClassificationRequest
        answers = yield from self._ask_with_examples(
            examples, target, "Classify", kind
        )
        rows = [row for a in answers for row in a.result.classifications]
        labels = [[c.label for c in row.classes] for row in rows]
        scores = [[c.score for c in row.classes] for row in rows]
        return Classes(
            np.array(labels, dtype=object).reshape(len(rows), -1),
            np.array(scores, dtype=np.float32).reshape(len(rows), -1),
        )

    def regress(self, examples: Any, target: Target) -> Steps[Array]:
        """Ask for one number for each example."""
        answers = yield from self._ask_with_examples(
            examples, target, "Regress", regression_pb2.RegressionRequest
        )
        values = [r.value for a in answers for r in a.result.regressions]
        return np.array(values, dtype=np.float32)

    def _prepare(
        self,
        columns: Mapping[str, Any],
        target: Target,
        metadata: ModelMetadata,
        outputs: Sequence[str] | None,
    ) -> Steps[_Call]:
        signature = metadata.signature(target.signature)
        outputs = [outputs] if isinstance(outputs, str) else outputs
        wanted = signature.chosen(outputs)
        inputs, fields = signature.inputs, metadata.fields
        matches = match_columns(columns, inputs, fields)
        missing = [
            n for n in inputs if n not in {*matches, *signature.defaults}
        ]
        others = [n for n in columns if n not in matches.values()]
        if missing and not matches:
            raise UserError(
                missing_message([*map(fields.column, missing)], others)
            )
        arrays = {
            name: client_arrays.to_array(
                column,
                columns[column],
                inputs[name],
                fields.field(name, inputs[name].shape),
                bool(fields),
            )
            for name, column in matches.items()
        }
        num_rows = num_rows_of(arrays, inputs)
        batched = {
            n for n, a in arrays.items() if a.ndim and inputs[n].is_batched
        }

        def request(spec: model_pb2.ModelSpec, rows: slice) -> Any:
            return predict_pb2.PredictRequest(
                model_spec=spec,
                inputs={
                    n: client_arrays.to_proto(a[rows] if n in batched else a)
                    for n, a in arrays.items()
                },
                output_filter=outputs or (),
            )

        if missing:
            empty = request(self._calls.metadata.spec(target), slice(0, 0))
            yield from self._check_optional(
                missing, others, empty, target, metadata
            )
        slices = [slice(0, num_rows)]
        if num_rows > 1 and batched and signature.can_be_split:
            in_answer = sum(info.answer_bytes for info in wanted.values())
            most = client_arrays.MAX_MESSAGE_BYTES // max(1, in_answer)
            slices = client_arrays.cut(
                num_rows,
                client_arrays.bytes_of_rows(
                    [arrays[name] for name in batched], num_rows
                ),
                min(self._max_rows, max(1, most)),
            )

        def finish(answers: list[Any]) -> Any:
            result = client_arrays.join(
                [answer.outputs for answer in answers], slices, self._address
            )
            return result if len(wanted) > 1 else next(iter(result.values()))

        return _Call("Predict", request, slices, finish)

    def _check_optional(
        self,
        missing: list[str],
        others: list[str],
        empty: predict_pb2.PredictRequest,
        target: Target,
        metadata: ModelMetadata,
    ) -> Steps[None]:
        """Raise a ValueError unless the server can do without `missing`.

        Recent servers keep the defaults of inputs to themselves. So it is
        asked with no rows at all, once, before any data is sent.
        """
        check_missing(missing, others, metadata.fields)
        if metadata.signature(target.signature).defaults:
            raise UserError(missing_message(missing, others))
        if metadata.fields:
            return
        key = (metadata.version, target.signature, tuple(missing))
        if key in self._optional:
            return
        try:
            yield Requests("Predict", iter([empty]), 1)
        except PredictError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            if any(words in error.details for words in _INPUT_IS_MISSING):
                words = re.findall(r"\w+", error.details)
                named = [n for n in missing if n in words] or missing
                raise UserError(missing_message(named, others)) from error
            # Refused for being empty, not for what it lacks.
        self._optional.add(key)

    def _ask_with_examples(
        self, examples: Any, target: Target, method: str, kind: Any
    ) -> Steps[list[Any]]:
        def prepare(metadata: ModelMetadata) -> Steps[_Call]:
            yield from ()
            metadata.signature(target.signature)
            raw = metadata.signatures.get("serving_default")
            serialized = to_examples(
                examples, raw.inputs if raw else {}, metadata.fields
            )
            lengths = np.fromiter(map(len, serialized), np.int64)

            def request(spec: model_pb2.ModelSpec, rows: slice) -> Any:
                result = kind(model_spec=spec)
                for example in serialized[rows]:
                    result.input.example_list.examples.add().ParseFromString(
                        example
                    )
                return result

            slices = client_arrays.cut(
                len(serialized), lengths + _BYTES_PER_RESULT, self._max_rows
            )
            slices = slices if serialized else []
            return _Call(method, request, slices, lambda answers: answers)

        answers: list[Any] = yield from self._calls.ask(target, prepare)
        return answers


class _VersionedCalls:
    """Sends calls to a server that may change versions at any time.

    Args:
        metadata: MetadataReader. What the versions take.
        address: str. The address, for messages.
    """

    def __init__(self, metadata: MetadataReader, address: str) -> None:
        self.metadata = metadata
        self._address = address

    def ask(self, target: Target, prepare: _Prepare) -> Steps[Any]:
        """Ask about all rows; all answers are of one version of the model.

        And of one whose signatures and fields the requests were made by: a
        server may have gone on to a version with others. Then the call is
        prepared anew, by what that version takes, and that version asked.
        Nothing has been computed when it, or this client, refuses a request.
        """
        metadata = yield from self.metadata.read(target)
        asked = target
        for _ in range(_ATTEMPTS):
            try:
                call = yield from prepare(metadata)
                answers = yield from self._send(call, asked)
            except (PredictError, ValueError) as error:
                fresh = yield from self._read_after(error, target, asked)
                if asked is target and fresh.is_called_like(metadata):
                    raise
                metadata, asked = fresh, target
                continue
            versions = {a.model_spec.version.value for a in answers} - {0}
            if target.version is not None or versions <= {metadata.version}:
                return call.finish(answers)
            if len(versions) == 1:
                (version,) = versions
                fresh = yield from self.metadata.read_version(version, target)
            else:
                # It changed in between: ask the one that it has now.
                fresh = yield from self.metadata.read(target, fresh=True)
            asked = Target(target.signature, fresh.version)
            if fresh.is_called_like(metadata):
                if len(versions) > 1:
                    yield from self._send_again(call, asked, answers)
                return call.finish(answers)
            metadata = fresh
        raise PredictError(
            f"{self._address} must answer a call by one version of the model, "
            f"but changed versions {_ATTEMPTS} times. Ask again, or choose "
            "one with `version`.",
            target=self._address,
        )

    def _read_after(
        self, error: PredictError | ValueError, target: Target, asked: Target
    ) -> Steps[ModelMetadata]:
        """The metadata as it is now, if that may be why a call failed."""
        may_be = target.version is None
        if isinstance(error, PredictError):
            is_gone = error.code is grpc.StatusCode.NOT_FOUND
            is_gone &= asked is not target
            may_be &= is_gone or error.code in _REFUSED
        if not may_be:
            raise error
        return (yield from self.metadata.read(target, fresh=True))

    def _send(self, call: _Call, asked: Target) -> Steps[list[Any]]:
        spec = self.metadata.spec(asked)
        requests = (call.request(spec, rows) for rows in call.slices)
        if not call.slices:
            return []
        return (yield Requests(call.method, requests, len(call.slices)))

    def _send_again(
        self, call: _Call, asked: Target, answers: list[Any]
    ) -> Steps[None]:
        """Replace the answers that are not of the version asked for."""
        stale = [
            n
            for n, answer in enumerate(answers)
            if answer.model_spec.version.value != asked.version
        ]
        part = dataclasses.replace(call, slices=[call.slices[n] for n in stale])
        again = yield from self._send(part, asked)
        for n, answer in zip(stale, again, strict=True):
            answers[n] = answer
