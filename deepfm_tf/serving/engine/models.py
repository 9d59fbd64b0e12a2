"""The model that a request names, and the version that answers it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from tensorflow_serving.apis import model_pb2

from deepfm_tf.serving.errors import invalid_argument

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

DEFAULT_SIGNATURE = "serving_default"


class Models(Protocol):
    """Where the handlers get their versions from."""

    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> contextlib.AbstractContextManager[LoadedVersion]:
        """The version that a request means; ServingError if there is none.

        It is not unloaded while it is held.
        """


@dataclasses.dataclass(frozen=True)
class LoadedVersion:
    """A version in memory; by itself the `Models` of one who holds it.

    Args:
        name: str. The model's name.
        version: int. The version number, never a label.
        servable: `Servable`.
    """

    name: str
    version: int
    servable: Servable

    @contextlib.contextmanager
    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> Iterator[LoadedVersion]:
        """This version, whatever a request asks for."""
        yield self


def require_model_spec(request: Any) -> model_pb2.ModelSpec:
    """The request's `model_spec`, or the error when there is none."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    return spec


def answered_spec(
    loaded: LoadedVersion, signature_name: str | None
) -> model_pb2.ModelSpec:
    """The `model_spec` of a response: the version that has answered."""
    spec = model_pb2.ModelSpec(name=loaded.name)
    spec.version.value = loaded.version
    if signature_name is not None:
        spec.signature_name = signature_name or DEFAULT_SIGNATURE
    return spec
