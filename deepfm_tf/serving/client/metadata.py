"""Reads what a served model takes, once for each version."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
)

from deepfm_tf.serving.client import tensors as client_tensors
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.signature import ModelMetadata
from deepfm_tf.serving.client.types import Choice, Step
from deepfm_tf.serving.served_fields import (
    FIELDS,
    ROWS,
    SIGNATURE,
    ServedFields,
)

# How often a version may be gone by the time that it is asked.
_ATTEMPTS = 3


class MetadataReader:
    """The signatures and the fields of a model, by version and label.

    Args:
        model_name: str. The model.
    """

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name
        # Races do no harm: the last reader wins.
        self._known: dict[tuple[int | None, str | None], ModelMetadata] = {}

    def read(
        self, choice: Choice, fresh: bool = False
    ) -> Generator[Step, list, ModelMetadata]:
        """Ask the server, unless the answer is known and `fresh` is False."""
        key = (choice.version, choice.label)
        if fresh or key not in self._known:
            self._known[key] = yield from self._ask(choice)
        return self._known[key]

    def read_version(
        self, version: int, choice: Choice
    ) -> Generator[Step, list, ModelMetadata]:
        """What the version that answered takes; if it is gone, the next one.

        It is remembered as that of the choice.
        """
        pinned = Choice(choice.signature, version)
        try:
            metadata = yield from self.read(pinned, fresh=True)
        except PredictError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            return (yield from self.read(choice, fresh=True))
        self._known[choice.version, choice.label] = metadata
        return metadata

    def spec(
        self, choice: Choice, with_signature: bool = True
    ) -> model_pb2.ModelSpec:
        """How a request names the model."""
        spec = model_pb2.ModelSpec(name=self._model_name)
        if with_signature:
            spec.signature_name = choice.signature
        if choice.version is not None:
            spec.version.value = choice.version
        if choice.label is not None:
            spec.version_label = choice.label
        return spec

    def _ask(self, choice: Choice) -> Generator[Step, list, ModelMetadata]:
        for attempt in range(1, _ATTEMPTS + 1):
            request = get_model_metadata_pb2.GetModelMetadataRequest(
                model_spec=self.spec(choice, with_signature=False),
                metadata_field=["signature_def"],
            )
            (answer,) = yield Step("GetModelMetadata", iter([request]), 1)
            metadata = ModelMetadata.from_response(answer)
            if not metadata.can_tell_fields:
                break
            try:
                fields = yield from self._ask_fields(metadata.version)
            except PredictError as error:
                is_gone = error.code is grpc.StatusCode.NOT_FOUND
                if not is_gone or attempt == _ATTEMPTS:
                    raise
            else:
                return dataclasses.replace(metadata, fields=fields)
        return metadata

    def _ask_fields(self, version: int) -> Generator[Step, list, ServedFields]:
        request = predict_pb2.PredictRequest(
            model_spec=self.spec(Choice(SIGNATURE, version or None)),
            inputs={ROWS: tf.make_tensor_proto([b""])},
        )
        (answer,) = yield Step("Predict", iter([request]), 1)
        (text,) = client_tensors.to_array(answer.outputs[FIELDS]).flat
        return ServedFields.from_json(text)
