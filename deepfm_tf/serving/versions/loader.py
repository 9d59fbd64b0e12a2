"""The versions of models, and the threads that load, retry and close them."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError, one_line

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

State = get_model_status_pb2.ModelVersionStatus
_LOG = logging.getLogger(__name__)
_GIVEN_UP = "Delete or replace the directory."
# What TensorFlow's own parser of int64 takes: no "+", no "_", ASCII digits.
_INT64 = re.compile(r"-?[0-9]+", re.ASCII)


@dataclasses.dataclass(eq=False)
class ModelVersion:
    """The life of a version, from the directory to the end.

    `START` (known, queued) -> `LOADING` (also between two tries) ->
    `AVAILABLE` -> `UNLOADING` (the last requests run out) -> `END`; a
    version that could not be loaded goes from `LOADING` to `END` with its
    error. Every attribute belongs to the lock of the `VersionLoader`.

    Args:
        name, version, path: the model's name, its number, its directory.
        state: int. One of `ModelVersionStatus.State`.
        error: `ServingError` or None. What the last load failed with.
        failed: bool. No more tries while the directory stays.
        num_tries: int. Loads that failed so far.
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
    in_work: bool = False
    num_requests: int = 0
    loaded: LoadedVersion | None = None

    def __str__(self) -> str:
        return f"Model {self.name} version {self.version}"

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """As GetModelStatus shows it."""
        status = State(version=self.version, state=self.state)
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
        complaint: str. What was last logged about its base path.
    """

    config: ModelConfig | None = None
    wanted: dict[int, Path] = dataclasses.field(default_factory=dict)
    versions: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    available: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    complaint: str = ""

    @property
    def newest(self) -> ModelVersion | None:
        """The highest version that takes requests."""
        return self.available[max(self.available)] if self.available else None

    def failures(self) -> str:
        """What the wanted versions failed with, once all are given up."""
        wanted = [self.versions.get(number) for number in sorted(self.wanted)]
        return "".join(
            f"{{name: {version.name} version: {version.version} due to error: "
            f"{version.error}}} "
            for version in wanted
            if version and all(each and each.failed for each in wanted)
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


class VersionLoader:
    """Brings the versions in memory to what is wanted.

    Loads run in a pool, closing and the waits between two tries in threads of
    their own, so that a load that hangs or fails holds nothing else up.

    Attributes:
        changed: `threading.Condition`. Its lock guards `models` and all in
            them, and is held for moments only; notified at every change.
        models: dict. Name to `Model`, also of those configured earlier.
    """

    def __init__(
        self,
        load: Callable[[Path], Servable],
        num_load_threads: int,
        max_num_load_retries: int,
        load_retry_interval_seconds: float,
    ) -> None:
        self.changed = threading.Condition()
        self.models: dict[str, Model] = {}
        self._load = load
        self._max_num_load_retries = max_num_load_retries
        self._load_retry_interval_seconds = load_retry_interval_seconds
        self._loaders = futures.ThreadPoolExecutor(
            max(num_load_threads, 1), thread_name_prefix="load-version"
        )
        self._closer = futures.ThreadPoolExecutor(
            1, thread_name_prefix="close-version"
        )

    def decide(self) -> None:
        """Start what is due, after any change. Needs the lock."""
        for name, model in self.models.items():
            for number, path in model.wanted.items():
                version = model.versions.get(number)
                if version is None or (
                    version.state == State.END and not version.failed
                ):
                    version = ModelVersion(name, number, path)
                    model.versions[number] = version
                    self._start_load(version)
            for number, version in model.versions.items():
                if number not in model.wanted:
                    # A directory that is put back gets a new chance.
                    version.failed = False
                    if version.state == State.LOADING and not version.in_work:
                        version.state = State.END
            for version in model.no_longer_needed():
                del model.available[version.version]
                self._unload(version)
        self.changed.notify_all()

    def release(self, version: ModelVersion) -> None:
        """Take back what a request held. Needs the lock."""
        version.num_requests -= 1
        if version.state == State.UNLOADING:
            self._unload(version)

    def stop(self, timeout: float | None) -> None:
        """Unload everything; see `ModelStore.stop`."""
        self._loaders.shutdown(cancel_futures=True)
        models = self.models.values()

        def is_empty() -> bool:
            versions = (v for m in models for v in m.versions.values())
            return not any(version.loaded for version in versions)

        with self.changed:
            is_done = self.changed.wait_for(is_empty, timeout)
        if is_done:
            self._closer.shutdown()
        else:  # it closes what those requests give back later
            _LOG.warning("Stopped while requests still held a version.")

    def _start_load(self, version: ModelVersion) -> None:
        """Queue a try. Needs the lock."""
        version.in_work = True
        self._loaders.submit(self._load_version, version)

    def _load_version(self, version: ModelVersion) -> None:
        """Try to load; in a thread of the pool."""
        model = self.models[version.name]
        with self.changed:
            is_wanted = version.version in model.wanted
            version.state = State.LOADING if is_wanted else State.END
            version.in_work = is_wanted
            self.changed.notify_all()
        if not is_wanted:
            return
        begin = time.monotonic()
        try:
            servable = self._load(version.path)
        except Exception as error:  # any: the status and the log show it
            self._note_failure(version, error)
            return
        seconds = time.monotonic() - begin
        _LOG.info("%s: available after %.1f s.", version, seconds)
        loaded = LoadedVersion(version.name, version.version, servable)
        with self.changed:
            version.in_work = False
            version.error, version.loaded = None, loaded
            if version.version in model.wanted:
                version.state = State.AVAILABLE
                model.available[version.version] = version
            else:  # deleted meanwhile: no request may see it
                self._unload(version)
            self.decide()

    def _note_failure(self, version: ModelVersion, error: Exception) -> None:
        """Plan another try, or give the version up."""
        if not isinstance(error, ServingError):
            error = ServingError(
                grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
            )
        seconds = self._load_retry_interval_seconds
        num_tries = version.num_tries + 1
        is_last = num_tries > self._max_num_load_retries
        advice = f"Next try in {seconds:g} s; deleting the directory ends it."
        _LOG.error(
            "%s could not be loaded (try %d of %d): %s. %s",
            *(version, num_tries, self._max_num_load_retries + 1),
            *(one_line(error), _GIVEN_UP if is_last else advice),
        )
        with self.changed:
            version.in_work = False
            version.error = error
            version.num_tries = num_tries
            version.failed = is_last
            if is_last:
                version.state = State.END
            else:
                timer = threading.Timer(seconds, self._try_again, [version])
                timer.daemon = True
                timer.start()
            self.decide()

    def _try_again(self, version: ModelVersion) -> None:
        """Unless its directory was deleted meanwhile."""
        with self.changed:
            if version.state == State.LOADING:
                self._start_load(version)

    def _unload(self, version: ModelVersion) -> None:
        """Close a version as soon as nobody holds it. Needs the lock."""
        version.state = State.UNLOADING
        if not version.num_requests and not version.in_work:
            version.in_work = True
            self._closer.submit(self._close, version)

    def _close(self, version: ModelVersion) -> None:
        """Give the memory back; in the closing thread."""
        loaded, version.loaded = version.loaded, None
        try:
            if loaded is not None:
                loaded.servable.close()
        except Exception:
            _LOG.exception("%s did not close cleanly.", version)
        del loaded
        return_memory()
        _LOG.info("%s: unloaded.", version)
        with self.changed:
            version.in_work = False
            version.state = State.END
            self.decide()


def return_memory() -> None:
    """Free what only reference cycles hold, and hand free pages back.

    A closed model leaves cycles in Python and, under glibc, free pages that
    the allocator keeps: without this the process grows at every switch.
    """
    gc.collect()
    # Others than glibc (musl, macOS, Windows) give back by themselves.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def find_versions(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """The directories below a base path that are named by an int64.

    The highest version comes first. Other names are ignored, and so is what
    vanishes or cannot be looked at while this function runs. Of "1" and "001"
    the first by name is taken. An OSError where the path cannot be read.
    """
    found: dict[int, Path] = {}
    for name in sorted(os.listdir(base_path)):
        path = Path(base_path, name)
        is_version = _INT64.fullmatch(name) and -(2**63) <= int(name) < 2**63
        if not is_version or not os.path.isdir(path):
            continue
        first = found.setdefault(int(name), path)
        if first != path:
            _LOG.warning(
                "Version %s is in both %s and %s; the latter is ignored.",
                *(int(name), first, path),
            )
    return dict(sorted(found.items(), reverse=True))


def choose_versions(
    policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy,
    found: dict[int, Path],
) -> dict[int, Path]:
    """The part of `find_versions` that a policy wants.

    An empty policy means the latest version, as 0 latest ones do.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(found)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        return {v: path for v, path in found.items() if v in wanted}
    num_versions = policy.latest.num_versions or 1
    return dict(list(found.items())[:num_versions])
