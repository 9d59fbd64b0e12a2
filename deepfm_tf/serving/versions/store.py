"""Keeps the configured models loaded while their versions come and go."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config.model_server_config_pb2 import (
    TENSORFLOW,
    ModelConfig,
    ModelServerConfig,
)

from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.versions.loader import (
    Model,
    VersionLoader,
    choose_versions,
    find_versions,
)

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

_LOG = logging.getLogger(__name__)
_WAKE_SECONDS = 0.2  # how often a wait looks whether it was given up
_LABELS_AT_START = (
    ". Start with --allow_version_labels_for_unavailable_models, or give the "
    "labels in a later configuration"
)


class ModelStore:
    """Finds, loads, lends and unloads the versions of the models.

    A new version is loaded and warmed up, then switched to; the old one is
    closed when its last request has ended. A load that fails is tried again
    later and holds nothing up meanwhile: neither requests, nor other
    versions, nor a rollback by deleting the bad directory.

    Args:
        load: callable. From a version's directory to a `Servable`, warmed
            up. Whatever it raises is a failed try.
        poll_wait_seconds and the others: as the server's flags.

    Attributes:
        loader: `VersionLoader`. Keeps the models and their versions.
        num_polls: int. Looks at all base paths so far.
    """

    def __init__(
        self,
        load: Callable[[Path], Servable],
        poll_wait_seconds: float = 1.0,
        num_load_threads: int = 0,
        max_num_load_retries: int = 5,
        load_retry_interval_seconds: float = 60.0,
        allow_unavailable_labels: bool = False,
    ) -> None:
        self.loader = VersionLoader(
            load,
            num_load_threads,
            max_num_load_retries,
            load_retry_interval_seconds,
        )
        self.num_polls = 0
        self._poll_wait_seconds = poll_wait_seconds
        self._allow_unavailable_labels = allow_unavailable_labels
        self._is_stopping = False
        self._must_poll = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="poll-versions", daemon=True
        )
        self._thread.start()

    def reload(
        self,
        config: ModelServerConfig,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Serve what this configuration says, and nothing else.

        Returns when every model that is new has a version available; old
        models go on serving meanwhile, also when the call fails later.

        Raises:
            ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION where the
                configuration is refused (nothing has changed then), UNKNOWN
                where no version of a new model could be loaded,
                DEADLINE_EXCEEDED once `is_given_up`, which is polled.
        """
        check_config(config)
        configs = {m.name: m for m in config.model_config_list.config}
        with self.loader.changed:
            for name, model_config in configs.items():
                self._check_labels(name, model_config.version_labels)
            old = self.names()
            self._keep(configs)
        if self._poll_wait_seconds >= 0:
            self._must_poll.set()
        for name, model_config in configs.items():
            _LOG.info("Model %s: versions in %s", name, model_config.base_path)
        self._wait_until_available(configs.keys() - old, is_given_up)

    @contextlib.contextmanager
    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> Iterator[LoadedVersion]:
        """Hold a version for the time of a request.

        Without a version and a label, the highest version available. A
        ServingError is INVALID_ARGUMENT without a name or with an unknown
        label, NOT_FOUND where no such version is available.
        """
        name = model_spec.name
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = model_spec.WhichOneof("version_choice")
        with self.loader.changed:
            model = self.loader.models.get(name)
            if choice is None:
                held = model.newest if model else None
                wanted = f"Latest({name})"
            else:
                number = model_spec.version.value
                if choice == "version_label":
                    label = model_spec.version_label
                    labels = _labels(model)
                    if label not in labels:
                        raise invalid_argument(
                            f"Unrecognized servable version label: {label}"
                        )
                    number = labels[label]
                held = model.available.get(number) if model else None
                wanted = f"Specific({name}, {number})"
            if held is None or held.loaded is None:
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND,
                    f"Servable not found for request: {wanted}",
                )
            held.num_requests += 1
            loaded = held.loaded
        try:
            yield loaded
        finally:
            with self.loader.changed:
                self.loader.release(held)

    def names(self) -> set[str]:
        """The models in the present configuration."""
        with self.loader.changed:
            return {n for n, m in self.loader.models.items() if m.config}

    def status(
        self, model_spec: model_pb2.ModelSpec
    ) -> list[get_model_status_pb2.ModelVersionStatus]:
        """The states of a model's versions, or of the one that is asked for.

        The highest version comes first; ended versions are included. A label
        is ignored, as TensorFlow Serving does. NOT_FOUND is what was never
        seen.
        """
        name = model_spec.name
        with self.loader.changed:
            model = self.loader.models.get(name)
            versions = model.versions if model else {}
            wanted = sorted(versions, reverse=True)
            which = "any versions"
            if model_spec.HasField("version"):
                number = model_spec.version.value
                wanted = [number] if number in versions else []
                which = f"version {number}"
            if not wanted:
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND,
                    f"Could not find {which} of model {name}",
                )
            return [versions[number].status() for number in wanted]

    def stop(self, timeout: float | None = None) -> None:
        """Unload everything once the requests have ended, and come back.

        After so many seconds it waits no longer for them; a load that is under
        way is waited for in any case.
        """
        with self.loader.changed:
            self._is_stopping = True
            self._keep({})
        self._must_poll.set()
        self._thread.join()
        self.loader.stop(timeout)

    def _keep(self, configs: dict[str, ModelConfig]) -> None:
        """These models from now on, and no others. Needs the lock."""
        for name in configs.keys() - self.loader.models.keys():
            self.loader.models[name] = Model()
        for name, model in self.loader.models.items():
            model.config = configs.get(name)
            if model.config is None:
                model.wanted = {}
        self.loader.decide()

    def _run(self) -> None:
        """Look into the base paths until stopped."""
        wait = self._poll_wait_seconds
        while True:
            self._must_poll.wait(wait if wait > 0 else None)
            self._must_poll.clear()
            if self._is_stopping:
                return
            for name, model in list(self.loader.models.items()):
                if config := model.config:
                    self._look(name, model, config)
            with self.loader.changed:
                self.num_polls += 1
                self.loader.changed.notify_all()

    def _look(self, name: str, model: Model, config: ModelConfig) -> None:
        """What lies in a base path is wanted; an error leaves all as it was."""
        wanted, complaint = look_for_versions(name, config)
        with self.loader.changed:
            if model.config is not config:
                return  # and the new configuration is polled next
            is_news = bool(complaint) and complaint != model.complaint
            model.complaint = complaint
            if wanted is not None:
                model.wanted = wanted
                self.loader.decide()
        if is_news:  # outside the lock: the log may be slow
            _LOG.warning("%s", complaint)

    def _check_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Refuse labels of versions that take no requests. Needs the lock."""
        model = self.loader.models.get(name, Model())
        old = _labels(model)
        for label, version in labels.items():
            if version in model.available:
                continue
            # The flag is for new labels: one in use never points nowhere.
            moved = old.get(label, version) != version
            if moved or not self._allow_unavailable_labels:
                # Of the first configuration nothing is available yet.
                hint = "" if self.loader.models else _LABELS_AT_START
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model "
                    f"{name}, which is not currently available for inference"
                    f"{hint}",
                )

    def _wait_until_available(
        self, names: Collection[str], is_given_up: Callable[[], bool]
    ) -> None:
        """Wait for one version of each, or for a reason to stop."""
        with self.loader.changed:
            while True:
                models = {name: self.loader.models[name] for name in names}
                waiting = [n for n, m in models.items() if not m.newest]
                failed = [f for n in waiting if (f := models[n].failures())]
                if failed:
                    raise ServingError(
                        grpc.StatusCode.UNKNOWN,
                        f"{len(failed)} model(s) did not become available: "
                        + "".join(failed),
                    )
                if not waiting:
                    return
                if is_given_up() or self._is_stopping:
                    raise ServingError(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        "No version of these models became available in "
                        f"time: {', '.join(sorted(waiting))}",
                    )
                self.loader.changed.wait(_WAKE_SECONDS)


def _labels(model: Model | None) -> Mapping[str, int]:
    """The versions that labels of a model stand for."""
    return dict(model.config.version_labels) if model and model.config else {}


def check_config(config: ModelServerConfig) -> None:
    """Refuse what cannot be served, in TensorFlow Serving's own words."""
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in "
                "config list"
            )
        names.add(model.name)
        got = f"got base_path()={model.base_path}"
        if "://" in model.base_path:
            raise invalid_argument(
                f"Model {model.name}: base_path must be a local directory; "
                f"{got}. Copy or mount it, or use TensorFlow Serving itself."
            )
        if not os.path.isabs(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or "
                f"URI; {got}"
            )
        platform = model.model_platform
        if bool(platform) == (model.model_type == TENSORFLOW):
            raise invalid_argument(
                f"Illegal setting {'both' if platform else 'neither'} "
                "ModelServerConfig::model_type (deprecated) "
                f"{'and' if platform else 'nor'} "
                "ModelServerConfig::model_platform, model name is "
                f"{model.name}"
            )
        if platform not in ("", "tensorflow"):
            raise invalid_argument(
                f"Model {model.name} requests unsupported platform {platform}"
            )


def look_for_versions(
    name: str, config: ModelConfig
) -> tuple[dict[int, Path] | None, str]:
    """What a model's policy wants of what lies in its base path.

    None where that cannot be read; and what there is to complain of, or "".
    """
    base = config.base_path
    try:
        found = find_versions(base)
    except OSError as error:
        told = f"Could not find base path {base} for servable {name}: "
        return None, f"{told}{error.strerror}"
    policy = config.model_version_policy
    wanted = choose_versions(policy, found)
    missing = sorted(set(policy.specific.versions) - found.keys())
    complaint = ""
    if not wanted:
        complaint = (
            f"No versions of servable {name} found under base path {base}. "
            "The versions must be directories named by a number, such as 1/; "
            f"found: {sorted(found) or 'none'}."
        )
        if Path(base, "saved_model.pb").is_file():
            complaint += (
                " The path is a version itself: give the directory above it."
            )
    elif missing:
        complaint = (
            f"Versions {missing} of servable {name}, which the version policy "
            f"names, were not found under base path {base}."
        )
    return wanted, complaint
