"""What a client does, apart from sending: shared by both clients.

Each call is a generator: it yields `Step`s (requests to send) and is sent
their answers, so that a blocking and an asyncio transport can drive it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
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
from deepfm_tf.serving.client import tensors as client_tensors
from deepfm_tf.serving.client.columns import (
    Data,
    as_columns,
    check_missing,
    match_columns,
    missing_message,
    num_rows_of,
)
from deepfm_tf.serving.client.errors import PredictError, did_you_mean, shown
from deepfm_tf.serving.client.examples import to_examples
from deepfm_tf.serving.client.inputs import to_input
from deepfm_tf.serving.client.metadata import MetadataReader
from deepfm_tf.serving.client.rank import rank_columns
from deepfm_tf.serving.client.signature import (
    ModelMetadata,
    Signature,
)
from deepfm_tf.serving.client.types import (
    Call,
    Choice,
    Classes,
    Step,
    VersionStatus,
)
from deepfm_tf.serving.client.versions import VersionedCalls

# How the C++ core says that an input without a default was left out.
_INPUT_IS_MISSING = ("Missing but required", "not found in request")
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
        self._target = target
        self._max_rows = max_rows
        self._calls = VersionedCalls(MetadataReader(model_name), target)
        # (version, signature, inputs) that a server has agreed to go without.
        self._optional: set[tuple[int, str, tuple[str, ...]]] = set()

    def metadata(
        self, choice: Choice, fresh: bool = False
    ) -> Generator[Step, list, ModelMetadata]:
        """Read the signatures, unless they are known."""
        return (yield from self._calls.metadata.read(choice, fresh))

    def status(
        self, choice: Choice
    ) -> Generator[Step, list, list[VersionStatus]]:
        """The state of the versions, the newest first."""
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=self._calls.metadata.spec(choice, with_signature=False)
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

        def prepare(metadata: ModelMetadata) -> Generator[Step, list, Call]:
            signature = metadata.signature(choice.signature)
            columns = as_columns(data, signature.inputs)
            return self._prepare(columns, choice, metadata, outputs)

        return (yield from self._calls.ask(choice, prepare))

    def rank(
        self,
        context: Mapping[str, Any],
        candidates: Data,
        choice: Choice,
        outputs: Sequence[str] | None,
    ) -> Generator[Step, list, Any]:
        """Ask for predictions of all candidates in one context."""

        def prepare(metadata: ModelMetadata) -> Generator[Step, list, Call]:
            columns = rank_columns(
                context,
                candidates,
                metadata.signature(choice.signature),
                choice.signature,
                metadata.fields,
            )
            return self._prepare(columns, choice, metadata, outputs)

        return (yield from self._calls.ask(choice, prepare))

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
    ) -> Generator[Step, list, Array]:
        """Ask for one number for each example."""
        answers = yield from self._ask_with_examples(
            examples, choice, "Regress", regression_pb2.RegressionRequest
        )
        values = [r.value for a in answers for r in a.result.regressions]
        return np.array(values, dtype=np.float32)

    def _prepare(
        self,
        columns: Mapping[str, Any],
        choice: Choice,
        metadata: ModelMetadata,
        outputs: Sequence[str] | None,
    ) -> Generator[Step, list, Call]:
        signature = metadata.signature(choice.signature)
        outputs = [outputs] if isinstance(outputs, str) else outputs
        wanted = _chosen(signature, outputs)
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
            name: to_input(
                column,
                columns[column],
                inputs[name],
                fields.field(name, inputs[name].shape),
                bool(fields),
            )
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

        def finish(answers: list) -> Any:
            result = client_tensors.join(
                [answer.outputs for answer in answers], slices, self._target
            )
            return result if len(wanted) > 1 else next(iter(result.values()))

        return Call("Predict", request, slices, finish)

    def _check_optional(
        self,
        missing: list[str],
        others: list[str],
        arrays: Mapping[str, Array],
        choice: Choice,
        metadata: ModelMetadata,
    ) -> Generator[Step, list, None]:
        """Raise a ValueError unless the server can do without `missing`.

        Recent servers keep the defaults of inputs to themselves. So it is
        asked with no rows at all, once, before any data is sent.
        """
        signature, fields = (
            metadata.signature(choice.signature),
            metadata.fields,
        )
        check_missing(missing, others, fields)
        if signature.defaults:
            raise UserError(missing_message(missing, others))
        if fields:
            return
        key = (metadata.version, choice.signature, tuple(missing))
        if key in self._optional:
            return
        empty = predict_pb2.PredictRequest(
            model_spec=self._calls.metadata.spec(choice),
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
        def prepare(metadata: ModelMetadata) -> Generator[Step, list, Call]:
            yield from ()
            metadata.signature(choice.signature)
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

            slices = client_tensors.cut(
                len(serialized), lengths + _BYTES_PER_RESULT, self._max_rows
            )
            slices = slices if serialized else []
            return Call(method, request, slices, lambda answers: answers)

        return (yield from self._calls.ask(choice, prepare))


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
