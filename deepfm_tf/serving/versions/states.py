"""One version of a model and the states it goes through."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from deepfm_tf.serving.errors import ServingError

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

State = get_model_status_pb2.ModelVersionStatus


@dataclasses.dataclass
class LoadedVersion:
    """What a request works with while it holds a version.

    Args:
        name: str. The model's name.
        version: int. The version number, never a label.
        servable: `Servable`. Valid until the request gives it back.
    """

    name: str
    version: int
    servable: Servable


@dataclasses.dataclass(eq=False)
class ModelVersion:
    """The life of a version, from the directory to the end.

    `START` (known, queued) -> `LOADING` (also between two tries) ->
    `AVAILABLE` -> `UNLOADING` (the last requests run out) -> `END`; a
    version that could not be loaded goes from `LOADING` to `END` with its
    error. Every attribute belongs to the lock of the `ModelStore`.

    Args:
        name: str. The model's name.
        version: int. The version number.
        path: `Path`. The version's directory.
        state: int. One of `ModelVersionStatus.State`.
        error: `ServingError` or None. What the last load failed with.
        failed: bool. No more tries while the directory stays.
        num_tries: int. Loads that failed so far.
        retry_at: float or None. Monotonic seconds of the next try.
        in_work: bool. Whether a thread is loading or closing it.
        num_requests: int. Requests that hold it.
        loaded: `LoadedVersion` or None. Set while it takes memory.
    """

    name: str
    version: int
    path: Path
    state: Any = State.START
    error: ServingError | None = None
    failed: bool = False
    num_tries: int = 0
    retry_at: float | None = None
    in_work: bool = False
    num_requests: int = 0
    loaded: LoadedVersion | None = None

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """As GetModelStatus shows it."""
        status = get_model_status_pb2.ModelVersionStatus(
            version=self.version, state=self.state
        )
        status.status.error_code = 0
        if self.state == State.END and self.error is not None:
            status.status.error_code = self.error.code.value[0]
            status.status.error_message = self.error.message
        return status


@dataclasses.dataclass(eq=False)
class Model:
    """A model: its configuration and all versions that it ever had.

    Args:
        config: `ModelConfig` or None. None once it is no longer configured.
        wanted: dict. Version to directory: what ought to be served.
        versions: dict. Version to its `ModelVersion`, ended ones too.
        available: dict. The part of `versions` that takes requests.
        newest: `ModelVersion` or None. The highest of `available`.
        complaint: str. What was last logged about its base path.
    """

    config: ModelConfig | None = None
    wanted: dict[int, Path] = dataclasses.field(default_factory=dict)
    versions: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    available: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    newest: ModelVersion | None = None
    complaint: str = ""

    def set_available(self, version: ModelVersion, available: bool) -> None:
        """Let requests have this version, or no longer."""
        if available:
            self.available[version.version] = version
        else:
            self.available.pop(version.version, None)
        self.newest = (
            self.available[max(self.available)] if self.available else None
        )

    def has_failed(self) -> bool:
        """Whether every version that is wanted has been given up."""
        return bool(self.wanted) and all(
            number in self.versions and self.versions[number].failed
            for number in self.wanted
        )

    def failures(self) -> str:
        """What the versions that are wanted failed with."""
        return "".join(
            f"{{name: {version.name} version: {number} due to error: "
            f"{version.error}}} "
            for number, version in sorted(self.versions.items())
            if number in self.wanted
        )

    def no_longer_needed(self) -> list[ModelVersion]:
        """Available versions that may be unloaded now, the lowest first.

        Availability comes first: while no wanted version is available, the
        highest of the others goes on serving, unless nothing is wanted.
        """
        others = [
            version
            for number, version in sorted(self.available.items())
            if number not in self.wanted
        ]
        if not self.wanted or len(others) < len(self.available):
            return others
        return others[:-1]
