"""Keeps the configured models loaded while their versions come and go."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Iterator
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
from deepfm_tf.serving.versions.loader import VersionLoader
from deepfm_tf.serving.versions.model import Model

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
        poll_wait_seconds: float. Between two looks at the base paths; 0
            looks once per configuration, negative never. Defaults to 1.
        num_load_threads: int. Versions loaded at once; 0 means 1.
        max_num_load_retries: int. Tries after the first. Defaults to 5.
        load_retry_interval_seconds: float. Between tries. Defaults to 60.
        allow_unavailable_labels: bool. Whether a new label may name a
            version that is not available. Defaults to False.

    Attributes:
        loader: `VersionLoader`. Keeps the models and their versions.

    Example:
        store = ModelStore(Servable)
        store.reload(single_model_config("ctr", "saved_models/ctr"))
        with store.acquire(ModelSpec(name="ctr")) as loaded:
            loaded.servable.run(...)
        store.stop()
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
            poll_wait_seconds,
            num_load_threads,
            max_num_load_retries,
            load_retry_interval_seconds,
        )
        self._allow_unavailable_labels = allow_unavailable_labels
        # The loader's lock guards all that follows.
        self._labels: dict[str, dict[str, int]] = {}
        self._is_stopping = False

    def reload(
        self,
        config: ModelServerConfig,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Serve what this configuration says, and nothing else.

        Returns when every model that is new has a version available; old
        models go on serving meanwhile, also when the call fails later.

        Args:
            config: `ModelServerConfig`. With a `model_config_list`.
            is_given_up: callable. Polled while waiting; True ends the wait.

        Raises:
            ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION where the
                configuration is refused (nothing has changed then), UNKNOWN
                where no version of a new model could be loaded,
                DEADLINE_EXCEEDED where the wait was given up.
        """
        self._wait_until_available(self._configure(config), is_given_up)

    @contextlib.contextmanager
    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> Iterator[LoadedVersion]:
        """Hold a version for the time of a request.

        Args:
            model_spec: `ModelSpec`. A name; a version or a label, or
                neither for the highest version available.

        Returns:
            A context manager that gives the `LoadedVersion`.

        Raises:
            ServingError: INVALID_ARGUMENT without a name or with an unknown
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
                number = (
                    model_spec.version.value
                    if choice == "version"
                    else self._version_of(name, model_spec.version_label)
                )
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
        """The states of a model's versions, the highest version first.

        Args:
            model_spec: `ModelSpec`. A name, and perhaps one version; a label
                is ignored, as TensorFlow Serving does.

        Returns:
            List of `ModelVersionStatus`, ended versions included.

        Raises:
            ServingError: NOT_FOUND where nothing of the kind was ever seen.
        """
        name = model_spec.name
        with self.loader.changed:
            model = self.loader.models.get(name)
            versions = model.versions if model else {}
            if model_spec.HasField("version"):
                number = model_spec.version.value
                if number not in versions:
                    raise ServingError(
                        grpc.StatusCode.NOT_FOUND,
                        f"Could not find version {number} of model {name}",
                    )
                return [versions[number].status()]
            if not versions:
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND,
                    f"Could not find any versions of model {name}",
                )
            return [versions[v].status() for v in sorted(versions)[::-1]]

    def stop(self, timeout: float | None = None) -> None:
        """Unload everything once the requests have ended, and come back.

        Args:
            timeout: float. Seconds to wait for requests; None waits for
                all. A load that is under way is waited for in any case.
        """
        with self.loader.changed:
            self._is_stopping = True
            self.loader.changed.notify_all()
        self.loader.stop(timeout)

    def _configure(self, config: ModelServerConfig) -> set[str]:
        """Take a configuration over; the names of the models that are new."""
        check_config(config)
        configs = {m.name: m for m in config.model_config_list.config}
        labels = {n: dict(m.version_labels) for n, m in configs.items()}
        with self.loader.changed:
            for name, versions in labels.items():
                self._check_labels(name, versions)
            new = {
                name
                for name in configs
                if name not in self.loader.models
                or self.loader.models[name].config is None
            }
            self._labels = labels
            self.loader.configure(configs)
        for name, model_config in configs.items():
            _LOG.info("Model %s: versions in %s", name, model_config.base_path)
        return new

    def _version_of(self, name: str, label: str) -> int:
        """The version that a label stands for. Needs the lock."""
        try:
            return self._labels[name][label]
        except KeyError:
            raise invalid_argument(
                f"Unrecognized servable version label: {label}"
            ) from None

    def _check_labels(self, name: str, labels: dict[str, int]) -> None:
        """Refuse labels of versions that take no requests. Needs the lock."""
        model = self.loader.models.get(name, Model())
        old = self._labels.get(name, {})
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
                failed = [n for n in waiting if models[n].has_failed()]
                if failed:
                    raise ServingError(
                        grpc.StatusCode.UNKNOWN,
                        f"{len(failed)} model(s) did not become available: "
                        + "".join(models[n].failures() for n in failed),
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


def check_config(config: ModelServerConfig) -> None:
    """Refuse a configuration that cannot be served.

    Args:
        config: `ModelServerConfig`. With a `model_config_list`.

    Raises:
        ServingError: INVALID_ARGUMENT, with TensorFlow Serving's text where
            it has one.
    """
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in "
                "config list"
            )
        names.add(model.name)
        if "://" in model.base_path:
            raise invalid_argument(
                f"Model {model.name}: base_path must be a local directory; "
                f"got base_path()={model.base_path}. Copy or mount it, or "
                "use TensorFlow Serving itself."
            )
        if not os.path.isabs(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or "
                f"URI; got base_path()={model.base_path}"
            )
        _check_platform(model)


def _check_platform(model: ModelConfig) -> None:
    """Refuse any other platform than TensorFlow."""
    platform = model.model_platform
    if model.model_type == TENSORFLOW:
        if platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type "
                "(deprecated) and ModelServerConfig::model_platform."
            )
        return
    if not platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type "
            "(deprecated) nor ModelServerConfig::model_platform, model name "
            f"is {model.name}"
        )
    if platform != "tensorflow":
        raise invalid_argument(
            f"Model {model.name} requests unsupported platform {platform}"
        )
