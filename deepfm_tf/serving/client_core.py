"""What a client does, apart from sending: shared by both clients.

Each call is a generator: it yields `Step`s (requests to send) and is sent
their answers, so that a blocking and an asyncio transport can drive it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.errors import UserError
from deepfm_tf.serving import client_tensors
from deepfm_tf.serving.client_arrays import to_array
from deepfm_tf.serving.client_columns import (
    Data,
    as_columns,
    match_columns,
    missing_message,
    num_rows_of,
)
from deepfm_tf.serving.client_errors import PredictError, did_you_mean, shown
from deepfm_tf.serving.client_examples import to_examples
from deepfm_tf.serving.client_rank import rank_columns
from deepfm_tf.serving.client_signature import (
    ModelMetadata,
    Signature,
)
from deepfm_tf.serving.client_types import (
    Choice,
    Classes,
    Step,
    VersionStatus,
)

# How the C++ core says that an input without a default was left out.
_INPUT_IS_MISSING = ("Missing but required", "not found in request")
_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# What an example's classes take in an answer, about.
_BYTES_PER_RESULT = 64


class ClientCore:
    """The calls of one model, as generators of steps.

    Args:
        model_name: str. The model.
        target: str. The address, for messages.
        max_rows: int. Rows of a request at most.
    """

    def __init__(self, model_name: str, target: str, max_rows: int) -> None:
        if max_rows < 1:
            raise UserError(
                "`max_rows` must be a positive integer. Received: "
                f"max_rows={max_rows}."
            )
        self._model_name = model_name
        self._target = target
        self._max_rows = max_rows
        # By version and label. Races do no harm: the last reader wins.
        self._known: dict[tuple[int | None, str | None], ModelMetadata] = {}
        # (version, signature, inputs) that a server has agreed to go without.
        self._optional: set[tuple[int, str, tuple[str, ...]]] = set()

    def metadata(
        self, choice: Choice, fresh: bool = False
    ) -> Generator[Step, list, ModelMetadata]:
        """Read the signatures, unless they are known."""
        key = (choice.version, choice.label)
        if fresh or key not in self._known:
            request = get_model_metadata_pb2.GetModelMetadataRequest(
                model_spec=self._spec(choice, with_signature=False),
                metadata_field=["signature_def"],
            )
            (answer,) = yield Step("GetModelMetadata", iter([request]), 1)
            self._known[key] = ModelMetadata.from_response(answer)
        return self._known[key]

    def status(
        self, choice: Choice
    ) -> Generator[Step, list, list[VersionStatus]]:
        """The state of the versions, the newest first."""
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=self._spec(choice, with_signature=False)
        )
        (answer,) = yield Step("GetModelStatus", iter([request]), 1)
        names = get_model_status_pb2.ModelVersionStatus.State
        found = [
            VersionStatus(
                v.version, names.Name(v.state), v.status.error_message
            )
            for v in answer.model_version_status
        ]
        return sorted(found, reverse=True)

    def predict(
        self, data: Data, choice: Choice, outputs: Sequence[str] | None
    ) -> Generator[Step, list, Any]:
        """Ask for predictions of all rows."""

        def attempt(metadata: ModelMetadata) -> Generator[Step, list, Any]:
            signature = metadata.signature(choice.signature)
            columns = as_columns(data, signature.inputs)
            return self._predict(columns, choice, metadata, outputs)

        return (yield from self._retold(choice, attempt))

    def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        choice: Choice,
        outputs: Sequence[str] | None,
    ) -> Generator[Step, list, Any]:
        """Ask for predictions of all candidates in one context."""

        def attempt(metadata: ModelMetadata) -> Generator[Step, list, Any]:
            signature = metadata.signature(choice.signature)
            columns = rank_columns(
                context, candidates, signature, choice.signature
            )
            return self._predict(columns, choice, metadata, outputs)

        return (yield from self._retold(choice, attempt))

    def classify(
        self, examples: Any, choice: Choice
    ) -> Generator[Step, list, Classes]:
        """Ask for the classes of all examples."""
        answers = yield from self._ask_with_examples(
            examples,
            choice,
            "Classify",
            classification_pb2.ClassificationRequest,
        )
        rows = [row for a in answers for row in a.result.classifications]
        labels = [[c.label for c in row.classes] for row in rows]
        scores = [[c.score for c in row.classes] for row in rows]
        return Classes(
            np.array(labels, dtype=object).reshape(len(rows), -1),
            np.array(scores, dtype=np.float32).reshape(len(rows), -1),
        )

    def regress(
        self, examples: Any, choice: Choice
    ) -> Generator[Step, list, np.ndarray]:
        """Ask for one number for each example."""
        answers = yield from self._ask_with_examples(
            examples, choice, "Regress", regression_pb2.RegressionRequest
        )
        values = [r.value for a in answers for r in a.result.regressions]
        return np.array(values, dtype=np.float32)

    def _retold(
        self, choice: Choice, attempt: Callable[[ModelMetadata], Any]
    ) -> Generator[Step, list, Any]:
        """Try with the signatures as known, then once more if they changed.

        A server may have gone on to a version with other inputs. Nothing
        has been computed when it, or this client, refuses a request.
        """
        was_known = (choice.version, choice.label) in self._known
        metadata = yield from self.metadata(choice)
        try:
            return (yield from attempt(metadata))
        except (PredictError, ValueError) as error:
            if isinstance(error, PredictError) and error.code not in _REFUSED:
                raise
            if not was_known or choice.version is not None:
                raise
            fresh = yield from self.metadata(choice, fresh=True)
            if fresh.signatures == metadata.signatures:
                raise
        return (yield from attempt(fresh))

    def _predict(
        self,
        columns: Mapping[str, Any],
        choice: Choice,
        metadata: ModelMetadata,
        outputs: Sequence[str] | None,
    ) -> Generator[Step, list, Any]:
        signature = metadata.signature(choice.signature)
        outputs = [outputs] if isinstance(outputs, str) else outputs
        wanted = _chosen(signature, outputs)
        inputs = signature.inputs
        matches = match_columns(columns, inputs)
        missing = [
            n for n in inputs if n not in {*matches, *signature.defaults}
        ]
        others = [n for n in columns if n not in matches.values()]
        if missing and not matches:
            raise UserError(missing_message(missing, others))
        arrays = {
            name: to_array(column, columns[column], inputs[name])
            for name, column in matches.items()
        }
        num_rows = num_rows_of(arrays, inputs)
        if missing:
            yield from self._check_optional(
                missing, others, arrays, choice, metadata
            )

        batched = {
            n: a for n, a in arrays.items() if a.ndim and inputs[n].is_batched
        }

        def request(spec: model_pb2.ModelSpec, rows: slice) -> Any:
            sent = {n: a[rows] for n, a in batched.items()}
            return predict_pb2.PredictRequest(
                model_spec=spec,
                inputs={
                    n: client_tensors.to_proto(sent.get(n, a))
                    for n, a in arrays.items()
                },
                output_filter=outputs or (),
            )

        slices = [slice(0, num_rows)]
        if num_rows > 1 and batched and signature.can_be_split:
            slices = client_tensors.cut(
                num_rows,
                client_tensors.bytes_of_rows([*batched.values()], num_rows),
                min(self._max_rows, client_tensors.rows_of_answer(wanted)),
            )
        answers = yield from self._ask("Predict", choice, request, slices)
        result = client_tensors.join(
            [answer.outputs for answer in answers], slices, self._target
        )
        return result if len(wanted) > 1 else next(iter(result.values()))

    def _check_optional(
        self,
        missing: list[str],
        others: list[str],
        arrays: Mapping[str, np.ndarray],
        choice: Choice,
        metadata: ModelMetadata,
    ) -> Generator[Step, list, None]:
        """Raise a ValueError unless the server can do without `missing`.

        Recent servers keep the defaults of inputs to themselves. So it is
        asked with no rows at all, once, before any data is sent.
        """
        signature = metadata.signature(choice.signature)
        misspelt = any(did_you_mean(n, others, cutoff=0.8) for n in missing)
        if misspelt or signature.defaults:
            raise UserError(missing_message(missing, others))
        key = (metadata.version, choice.signature, tuple(missing))
        if key in self._optional:
            return
        empty = predict_pb2.PredictRequest(
            model_spec=self._spec(choice),
            inputs={
                n: client_tensors.to_proto(
                    a[:0] if signature.inputs[n].is_batched and a.ndim else a
                )
                for n, a in arrays.items()
            },
        )
        try:
            yield Step("Predict", iter([empty]), 1)
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
        self, examples: Any, choice: Choice, method: str, kind: Any
    ) -> Generator[Step, list, list]:
        metadata = yield from self.metadata(choice)
        metadata.signature(choice.signature)
        raw = metadata.signatures.get("serving_default")
        serialized = to_examples(examples, raw.inputs if raw else {})
        lengths = np.fromiter(map(len, serialized), np.int64, len(serialized))

        def request(spec: model_pb2.ModelSpec, rows: slice) -> Any:
            result = kind(model_spec=spec)
            for example in serialized[rows]:
                result.input.example_list.examples.add().ParseFromString(
                    example
                )
            return result

        if not serialized:
            return []
        slices = client_tensors.cut(
            len(serialized), lengths + _BYTES_PER_RESULT, self._max_rows
        )
        return (yield from self._ask(method, choice, request, slices))

    def _ask(
        self,
        method: str,
        choice: Choice,
        request: Callable[[model_pb2.ModelSpec, slice], Any],
        slices: Sequence[slice],
    ) -> Generator[Step, list, list]:
        """Send all slices; all answers are of one version of the model."""
        spec = self._spec(choice)
        requests = (request(spec, rows) for rows in slices)
        answers = yield Step(method, requests, len(slices))
        versions = {a.model_spec.version.value for a in answers}
        key = (choice.version, choice.label)
        if len(versions) > 1:
            # The server changed versions meanwhile: ask the one it has now.
            fresh = yield from self.metadata(choice, fresh=True)
            spec = self._spec(Choice(choice.signature, version=fresh.version))
            stale = [
                n
                for n, a in enumerate(answers)
                if a.model_spec.version.value != fresh.version
            ]
            requests = (request(spec, slices[n]) for n in stale)
            again = yield Step(method, requests, len(stale))
            for n, answer in zip(stale, again, strict=True):
                answers[n] = answer
        elif key in self._known and versions != {self._known[key].version}:
            # Another version may have other signatures: read them next time.
            self._known.pop(key, None)
        return answers

    def _spec(
        self, choice: Choice, with_signature: bool = True
    ) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self._model_name)
        if with_signature:
            spec.signature_name = choice.signature
        if choice.version is not None:
            spec.version.value = choice.version
        if choice.label is not None:
            spec.version_label = choice.label
        return spec


def check_timeout(timeout: float | None) -> float | None:
    """The seconds that a request may take; refused unless above 0."""
    if timeout is not None and not timeout > 0:
        raise UserError(
            "`timeout` must be a positive number of seconds, or None to wait "
            f"forever. Received: timeout={timeout}."
        )
    return timeout


def _chosen(signature: Signature, outputs: Sequence[str] | None) -> dict:
    for name in outputs or ():
        if name not in signature.outputs:
            raise UserError(
                f"The model has no output '{name}'."
                f"{did_you_mean(name, signature.outputs)} Its outputs are: "
                f"{shown(signature.outputs)}."
            )
    return {n: s for n, s in signature.outputs.items() if n in (outputs or [n])}
