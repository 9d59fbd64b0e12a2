"""Calls whose answers are all of one version, which knows their columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Any

import grpc

from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.metadata import MetadataReader
from deepfm_tf.serving.client.signature import ModelMetadata
from deepfm_tf.serving.client.types import Call, Choice, Step

_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# How often a server may change versions during one call.
_ATTEMPTS = 4

# From what a version takes to what it is asked; may ask it something before.
Prepare = Callable[[ModelMetadata], Generator[Step, list, Call]]


class VersionedCalls:
    """Sends calls to a server that may change versions at any time.

    Args:
        metadata: MetadataReader. What the versions take.
        target: str. The address, for messages.
    """

    def __init__(self, metadata: MetadataReader, target: str) -> None:
        self.metadata = metadata
        self._target = target

    def ask(
        self, choice: Choice, prepare: Prepare
    ) -> Generator[Step, list, Any]:
        """Ask about all rows; all answers are of one version of the model.

        And of one whose signatures and fields the requests were made by: a
        server may have gone on to a version with others. Then the call is
        prepared anew, by what that version takes, and that version asked.
        Nothing has been computed when it, or this client, refuses a request.
        """
        metadata = yield from self.metadata.read(choice)
        asked = choice
        for _ in range(_ATTEMPTS):
            try:
                call = yield from prepare(metadata)
                answers = yield from self._send(call, asked)
            except (PredictError, ValueError) as error:
                fresh = yield from self._read_after(error, choice, asked)
                if asked is choice and fresh.is_called_like(metadata):
                    raise
                metadata, asked = fresh, choice
                continue
            versions = {a.model_spec.version.value for a in answers} - {0}
            if choice.version is not None or versions <= {metadata.version}:
                return call.finish(answers)
            if len(versions) == 1:
                (version,) = versions
                fresh = yield from self.metadata.read_version(version, choice)
            else:
                # It changed in between: ask the one that it has now.
                fresh = yield from self.metadata.read(choice, fresh=True)
            asked = Choice(choice.signature, fresh.version)
            if fresh.is_called_like(metadata):
                if len(versions) > 1:
                    yield from self._send_again(call, asked, answers)
                return call.finish(answers)
            metadata = fresh
        raise PredictError(
            f"{self._target} must answer a call by one version of the model, "
            f"but changed versions {_ATTEMPTS} times. Ask again, or choose "
            "one with `version`.",
            target=self._target,
        )

    def _read_after(
        self,
        error: PredictError | ValueError,
        choice: Choice,
        asked: Choice,
    ) -> Generator[Step, list, ModelMetadata]:
        """The metadata as it is now, if that may be why a call failed."""
        may_be = choice.version is None
        if isinstance(error, PredictError):
            is_gone = error.code is grpc.StatusCode.NOT_FOUND
            may_be &= error.code in _REFUSED or (
                is_gone and asked is not choice
            )
        if not may_be:
            raise error
        return (yield from self.metadata.read(choice, fresh=True))

    def _send(self, call: Call, asked: Choice) -> Generator[Step, list, list]:
        spec = self.metadata.spec(asked)
        requests = (call.request(spec, rows) for rows in call.slices)
        if not call.slices:
            return []
        return (yield Step(call.method, requests, len(call.slices)))

    def _send_again(
        self, call: Call, asked: Choice, answers: list
    ) -> Generator[Step, list, None]:
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
