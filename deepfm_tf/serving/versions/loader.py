"""Loads, retries and closes versions on threads of its own."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError, one_line
from deepfm_tf.serving.versions.model import (
    Model,
    ModelVersion,
    State,
    look_for_versions,
)

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

_LOG = logging.getLogger(__name__)
_NEVER = float("inf")


class VersionLoader:
    """Brings the versions in memory to what lies in the base paths.

    One thread polls and decides, and does nothing that takes long. Loads run
    in a pool and closing in another thread, so that a load that hangs holds
    nothing up; between two tries a version occupies no thread at all.

    Args:
        load: callable. From a version's directory to a `Servable`.
        poll_wait_seconds: float. Between two looks at the base paths; 0
            looks once per configuration, negative never.
        num_load_threads: int. Versions loaded at once; 0 means 1.
        max_num_load_retries: int. Tries after the first.
        load_retry_interval_seconds: float. Between tries.

    Attributes:
        changed: `threading.Condition`. Its lock guards `models` and all in
            them, and is held for moments only; notified at every change.
        models: dict. Name to `Model`, also of those configured earlier.
        num_polls: int. Looks at all base paths so far.
    """

    def __init__(
        self,
        load: Callable[[Path], Servable],
        poll_wait_seconds: float,
        num_load_threads: int,
        max_num_load_retries: int,
        load_retry_interval_seconds: float,
    ) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.models: dict[str, Model] = {}
        self.num_polls = 0
        self._load = load
        self._poll_wait_seconds = poll_wait_seconds
        self._max_num_load_retries = max_num_load_retries
        self._load_retry_interval_seconds = load_retry_interval_seconds
        self._generation = 0  # of the configuration
        self._is_dirty = False
        self._must_poll = False
        self._is_stopping = False
        self._loaders = futures.ThreadPoolExecutor(
            max(num_load_threads, 1), thread_name_prefix="load-version"
        )
        self._closer = futures.ThreadPoolExecutor(
            1, thread_name_prefix="close-version"
        )
        self._thread = threading.Thread(
            target=self._run, name="keep-versions", daemon=True
        )
        self._thread.start()

    def configure(self, configs: dict[str, ModelConfig]) -> None:
        """Keep these models from now on, and no others. Needs the lock."""
        for name in configs.keys() - self.models.keys():
            self.models[name] = Model()
        for name, model in self.models.items():
            model.config = configs.get(name)
            if model.config is None:
                model.wanted = {}
        self._generation += 1
        self._must_poll = self._poll_wait_seconds >= 0
        self._wake()

    def release(self, version: ModelVersion) -> None:
        """Take back what a request held. Needs the lock."""
        version.num_requests -= 1
        if version.state == State.UNLOADING and not version.num_requests:
            self._close(version)

    def stop(self, timeout: float | None) -> None:
        """Unload everything; see `ModelStore.stop`."""
        with self.changed:
            self._is_stopping = True
            self.configure({})
        self._thread.join()
        self._loaders.shutdown(cancel_futures=True)
        with self.changed:
            self._decide()
            is_done = self.changed.wait_for(
                lambda: (
                    not any(
                        version.loaded
                        for model in self.models.values()
                        for version in model.versions.values()
                    )
                ),
                timeout,
            )
        if is_done:
            self._closer.shutdown()
        else:  # it closes what those requests give back later
            _LOG.warning("Stopped while requests still held a version.")

    def _wake(self) -> None:
        """Have the deciding thread look again. Needs the lock."""
        self._is_dirty = True
        self.changed.notify_all()

    def _run(self) -> None:
        """Poll and decide until stopped."""
        poll_at = _NEVER
        while True:
            with self.changed:
                now = time.monotonic()
                retry_at = self._decide()
                timeout = min(poll_at, retry_at) - now
                self.changed.wait_for(
                    lambda: self._is_dirty,
                    None if timeout == _NEVER else max(timeout, 0),
                )
                self._is_dirty = False
                if self._is_stopping:
                    return
                is_due = self._must_poll or time.monotonic() >= poll_at
                self._must_poll = False
            if is_due:
                self._poll()
                if self._poll_wait_seconds > 0:
                    poll_at = time.monotonic() + self._poll_wait_seconds

    def _poll(self) -> None:
        """Look what lies in the base paths; errors leave all as it was."""
        with self.changed:
            generation = self._generation
            configs = {n: m.config for n, m in self.models.items() if m.config}
        for name, config in configs.items():
            wanted, complaint = look_for_versions(name, config)
            with self.changed:
                if generation != self._generation:
                    return  # and the new configuration is polled next
                model = self.models[name]
                is_news = bool(complaint) and complaint != model.complaint
                model.complaint = complaint
                if wanted is not None:
                    model.wanted = wanted
            if is_news:  # outside the lock: the log may be slow
                _LOG.warning("%s", complaint)
        with self.changed:
            self.num_polls += 1
            self.changed.notify_all()

    def _decide(self) -> float:
        """Start what is due; monotonic seconds of the next retry, or inf.

        Needs the lock.
        """
        now = time.monotonic()
        next_retry = _NEVER
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
                        self.changed.notify_all()
                elif version.retry_at is not None:
                    if version.retry_at <= now:
                        self._start_load(version)
                    else:
                        next_retry = min(next_retry, version.retry_at)
            for version in model.no_longer_needed():
                model.set_available(version, False)
                version.state = State.UNLOADING
                if not version.num_requests:
                    self._close(version)
        return next_retry

    def _start_load(self, version: ModelVersion) -> None:
        """Queue a try. Needs the lock."""
        version.in_work = True
        version.retry_at = None
        self._loaders.submit(self._load_version, version)

    def _load_version(self, version: ModelVersion) -> None:
        """Try to load; in a thread of the pool."""
        model = self.models[version.name]
        with self.changed:
            if version.version not in model.wanted:
                version.in_work = False
                version.state = State.END
                self._wake()
                return
            version.state = State.LOADING
            self.changed.notify_all()
        begin = time.monotonic()
        try:
            servable = self._load(version.path)
        except Exception as error:  # any: the status and the log show it
            self._note_failure(version, error)
            return
        _LOG.info(
            "Model %s version %d: available after %.1f s.",
            version.name,
            version.version,
            time.monotonic() - begin,
        )
        with self.changed:
            version.in_work = False
            version.error = None
            version.loaded = LoadedVersion(
                version.name, version.version, servable
            )
            if version.version in model.wanted:
                version.state = State.AVAILABLE
                model.set_available(version, True)
            else:  # deleted meanwhile: no request may see it
                version.state = State.UNLOADING
                self._close(version)
            self._wake()

    def _note_failure(self, version: ModelVersion, error: Exception) -> None:
        """Plan another try, or give the version up."""
        if not isinstance(error, ServingError):
            error = ServingError(
                grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
            )
        num_tries = version.num_tries + 1
        is_last = num_tries > self._max_num_load_retries
        _LOG.error(
            "Model %s version %d could not be loaded (try %d of %d): %s. %s",
            version.name,
            version.version,
            num_tries,
            self._max_num_load_retries + 1,
            one_line(error),
            "Delete or replace the directory."
            if is_last
            else f"Next try in {self._load_retry_interval_seconds:g} s; "
            "deleting the directory ends it.",
        )
        with self.changed:
            version.in_work = False
            version.error = error
            version.num_tries = num_tries
            if is_last:
                version.failed = True
                version.state = State.END
            else:
                version.retry_at = (
                    time.monotonic() + self._load_retry_interval_seconds
                )
            self._wake()

    def _close(self, version: ModelVersion) -> None:
        """Queue the close of a version that nobody holds. Needs the lock."""
        if not version.in_work:
            version.in_work = True
            self._closer.submit(self._close_version, version)

    def _close_version(self, version: ModelVersion) -> None:
        """Give the memory back; in the closing thread."""
        loaded, version.loaded = version.loaded, None
        try:
            if loaded is not None:
                loaded.servable.close()
        except Exception:
            _LOG.exception(
                "Model %s version %d did not close cleanly.",
                version.name,
                version.version,
            )
        del loaded
        return_memory()
        _LOG.info(
            "Model %s version %d: unloaded.", version.name, version.version
        )
        with self.changed:
            version.in_work = False
            version.state = State.END
            self._wake()


def return_memory() -> None:
    """Free what only reference cycles hold, and hand free pages back.

    A closed model leaves cycles in Python and, under glibc, free pages that
    the allocator keeps: without this the process grows at every switch.
    """
    gc.collect()
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return  # not glibc: musl, macOS and Windows give back by themselves
    malloc_trim(0)
